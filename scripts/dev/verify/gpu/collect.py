"""Turns the output of programs into results of a stage.

    python collect.py add --results FILE --stage S WHAT [NAME=VALUE ...] [NAME@=TEXT_FILE ...] [NAME@json=FILE ...] [@json=FILE]
    python collect.py training --results FILE --stage S --name N --report report.json --status 0 ...
    python collect.py slowest profile.json COUNT
    python collect.py ncu --results FILE --stage S --kernel K --csv FILE
"""

import argparse
import csv
import json
import re
import sys
from pathlib import Path
from statistics import mean, median

from results import Results
from work import Shape, tree

WINDOW = 10  # number of steps that give one mean time: TRL reads its loss, and so waits for the GPU, that often
MOST_TEXT = 4000
NOT_OURS = re.compile(r"^(product|copy|clear)\b")
OF_NCU = {
    "Duration": "duration",
    "Compute (SM) Throughput": "compute_percent",
    "Memory Throughput": "memory_percent",
    "DRAM Throughput": "dram_percent",
    "Registers Per Thread": "registers",
    "Achieved Occupancy": "occupancy_percent",
    "Waves Per SM": "waves",
    "Warp Cycles Per Issued Instruction": "cycles_per_instruction",
}


def main():
    command, *words = sys.argv[1:]
    {"add": add, "training": training, "slowest": slowest, "ncu": ncu}[command](words)


def options_of_all() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser()
    options.add_argument("--results", type=Path, required=True)
    options.add_argument("--stage", required=True)
    return options


def add(words: list[str]):
    options = options_of_all()
    options.add_argument("what")
    options.add_argument("values", nargs="*")
    arguments = options.parse_args(words)
    values = {}
    for word in arguments.values:
        name, value = word.split("=", 1)
        if name == "@json":
            values |= json.loads(Path(value).read_text())
        elif name.endswith("@json"):
            values[name.removesuffix("@json")] = json.loads(Path(value).read_text())
        elif name.endswith("@"):
            values[name.removesuffix("@")] = Path(value).read_text(errors="replace").strip()[-MOST_TEXT:]
        else:
            values[name] = value
    Results(arguments.results, arguments.stage).add(arguments.what, **values)


def training(words: list[str]):
    options = options_of_all()
    options.add_argument("--name", required=True)
    options.add_argument("--report", type=Path, required=True)
    options.add_argument("--status", type=int, required=True)
    options.add_argument("--memory", type=Path, required=True)
    options.add_argument("--batch", type=int, required=True)
    options.add_argument("--rows", type=Path, help="our sequences, to count our work")
    options.add_argument("--model", type=Path)
    options.add_argument("--log", type=Path)
    arguments = options.parse_args(words)
    results = Results(arguments.results, arguments.stage)
    if arguments.status or not arguments.report.exists():
        log = arguments.log.read_text(errors="replace").strip()[-600:] if arguments.log else ""
        results.add("training", name=arguments.name, problem=f"ended with {arguments.status}", text=log)
        return
    report = json.loads(arguments.report.read_text())
    if "steps" in report:  # ours
        seconds = [arguments.batch / step["samples_per_second"] for step in report["steps"]]
        losses = [step["loss"] for step in report["steps"]]
    else:
        seconds, losses = report["seconds"], report["losses"]
    values = speed(seconds, arguments.batch) | {"first_loss": losses[0], "last_loss": losses[-1]}
    used = [int(line) for line in arguments.memory.read_text().split() if line.isdigit()]
    if used:
        values["card_bytes"] = max(used) << 20
    if "peak_bytes" in report:
        values["peak_bytes"] = report["peak_bytes"]
    if arguments.rows:
        values["flop_per_second"] = flop_per_second(arguments, seconds)
    results.add("training", name=arguments.name, **values)


def speed(seconds: list[float], batch: int) -> dict:
    """Seconds per step: the median over windows of steps without the first window, and over all steps after the first two."""
    length = WINDOW if len(seconds) >= 3 * WINDOW else 1
    windows = [mean(seconds[i : i + length]) for i in range(0, len(seconds) - length + 1, length)][1:]
    whole = mean(seconds[2:])
    return {
        "steps": len(seconds),
        "seconds_per_step": median(windows),
        "samples_per_second": batch / median(windows),
        "samples_per_second_of_all": batch / whole,
        "first_step_seconds": seconds[0],
    }


def flop_per_second(arguments, seconds: list[float]) -> float:
    """Median over the steps of the rate that our products reach."""
    rows = [json.loads(line)["sequences"] for line in arguments.rows.read_text().splitlines()]
    shape, batch = Shape.of(arguments.model), arguments.batch
    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    flop = [shape.flop(tree([sequence for row in batch for sequence in row])) for batch in batches]
    return median(flop[step % len(flop)] / taken for step, taken in enumerate(seconds) if step >= 2)


def slowest(words: list[str]):
    kernels = [kernel["name"] for kernel in json.loads(Path(words[0]).read_text())["kernels"]]
    print(" ".join([name for name in kernels if not NOT_OURS.match(name)][: int(words[1])]))


def ncu(words: list[str]):
    options = options_of_all()
    options.add_argument("--kernel", required=True)
    options.add_argument("--csv", type=Path, required=True)
    arguments = options.parse_args(words)
    results = Results(arguments.results, arguments.stage)
    text = arguments.csv.read_text(errors="replace")
    metrics, advice = read_ncu(text)
    if metrics:
        results.add("ncu", kernel=arguments.kernel, advice=advice, **metrics)
    else:
        results.add("ncu", kernel=arguments.kernel, problem=text.strip()[-600:] or "ncu measured nothing")


def read_ncu(text: str) -> tuple[dict, list[str]]:
    """The numbers with their units, and the advice, from ncu's table."""
    start = text.find('"ID"')
    rows = list(csv.DictReader(text[start:].splitlines())) if start >= 0 else []
    metrics = {}
    for row in rows:
        name = OF_NCU.get(row.get("Metric Name") or "")
        if name and name not in metrics:
            metrics[name] = f"{row['Metric Value']} {row.get('Metric Unit') or ''}".strip()
    advice = [row["Rule Description"][:300] for row in rows if row.get("Rule Type") in ("OPT", "WRN")]
    return metrics, advice[:4]


if __name__ == "__main__":
    main()
