"""Measures how the cost of training grows with the work: rows, rows per batch, tokens per row, tools per row.

`scripts/dev/bench_cost.sh` builds what it needs and calls it. A small random model trains one pass over made-up
conversations; one size is changed at a time. Cost is the time of the whole run, from conversations to the last step,
the best of a few runs. Work counts the matrix products (work.py). Where a larger size costs noticeably more per
work than a smaller one, the row is marked.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

from contenders import toolcall
from work import Shape, tree

RUNS = 3
NOISE = 1.25  # times the least cost per work of the smaller sizes
BASE = {"rows": 64, "batch": 8, "length": 256, "tools": 0}
AXES = {
    "rows": [50, 100, 200, 400, 800],
    "batch": [1, 2, 4, 8, 16, 32],
    "length": [128, 256, 512, 1024, 2048],
    "tools": [2, 5, 10, 20, 40],
}
WORDS = "time note call mail list room book road tree lamp door rain blue warm slow north seven after again".split()


def main():
    options = argparse.ArgumentParser(
        prog="scripts/dev/bench_cost.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("axes", nargs="*", metavar="AXIS", help=f"what to change, of {', '.join(AXES)}; all")
    options.add_argument("--model", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    axes = arguments.axes or list(AXES)
    if unknown := set(axes) - set(AXES):
        options.error(f"there is no axis {', '.join(sorted(unknown))}")
    marked = sum(measure_axis(axis, arguments.model, arguments.out / axis) for axis in axes)
    print(f"\n{marked} rows cost more per work than a smaller size (more than {NOISE - 1:.0%})")
    sys.exit(1 if marked else 0)


def measure_axis(axis: str, model: Path, out: Path) -> int:
    """Prints a table and returns how many of its rows are marked."""
    cases = [Case(model, out / str(size), {**BASE, axis: size}) for size in AXES[axis]]
    for _ in range(RUNS):  # in turns, so that other load on the machine affects all sizes
        for case in cases:
            case.train()
    print(f"\n| {axis:>6} | tokens | computed |   GFLOP | seconds | s/TFLOP |\n|" + "|".join(["---:"] * 6) + "|")
    least, marked = float("inf"), 0
    for size, case in zip(AXES[axis], cases, strict=True):
        cost = case.seconds / case.flop * 1e12
        grows = cost > NOISE * least
        marked += grows
        least = min(least, cost)
        mark = " <- grows faster than the work" if grows else ""
        row = f"| {size:6} | {case.tokens:6} | {case.computed:8} | {case.flop / 1e9:7.0f} "
        print(f"{row}| {case.seconds:7.2f} | {cost:7.2f} |{mark}", flush=True)
    return marked


class Case:
    """A pass over conversations of one size: its tokens, its computed tokens, its operations, its best seconds."""

    def __init__(self, model: Path, folder: Path, size: dict[str, int]):
        folder.mkdir(parents=True, exist_ok=True)
        data, config = folder / "data.json", folder / "config.json"
        data.write_text(json.dumps(conversations(size["rows"], size["length"], size["tools"])))
        settings = {"num_train_epochs": 1, "per_device_train_batch_size": size["batch"], "shuffle": False}
        config.write_text(json.dumps(settings))
        inspect = [toolcall(), "inspect", "--json", "--model", model, "--data", data]
        lines = subprocess.check_output(inspect, text=True).splitlines()
        rows = [json.loads(line)["sequences"] for line in lines]
        batches = [rows[first : first + size["batch"]] for first in range(0, len(rows), size["batch"])]
        trees = [tree([s for row in batch for s in row]) for batch in batches]
        self.tokens = sum(len(s["ids"]) for row in rows for s in row)
        self.computed = sum(t.tokens for t in trees)
        self.flop = sum(Shape.of(model).flop(t) for t in trees)
        self.tuned = folder / "tuned"
        self.command = [toolcall(), "train", "--model", model, "--data", data, "--config", config]
        self.seconds = float("inf")

    def train(self):
        subprocess.run([*self.command, "--out", self.tuned], check=True, stdout=subprocess.DEVNULL)
        seconds = json.loads((self.tuned / "train_report.json").read_text())["seconds"]
        self.seconds = min(self.seconds, seconds)


def conversations(rows: int, length: int, tools: int) -> list[dict]:
    """Rows of about `length` tokens each, not counting the tools, which all rows share."""
    source = random.Random(0)
    schemas = [schema(number) for number in range(tools)]

    def text(words: int) -> str:
        return " ".join(source.choices(WORDS, k=words))

    def row() -> dict:
        messages = [
            {"role": "user", "content": text(length - 40)},
            {"role": "assistant", "content": text(24)},
        ]
        return {"messages": messages, "tools": schemas}

    return [row() for _ in range(rows)]


def schema(number: int) -> dict:
    """A tool of about 90 tokens."""
    properties = {
        "place": {"type": "string", "description": "Where it is, as a name or an address."},
        "count": {"type": "integer", "description": "How many are wanted, one or more."},
    }
    parameters = {"type": "object", "properties": properties, "required": ["place", "count"]}
    function = {"name": f"find_{number}", "description": "Finds things in a place.", "parameters": parameters}
    return {"type": "function", "function": function}


if __name__ == "__main__":
    main()
