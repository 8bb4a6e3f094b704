"""Runs the tests that compare a device with the CPU, each in its own process, and reports how far each is off.

    python parity.py --program parity --results results.jsonl --stage b --folder DIR --tests REGEX [--ignored] [--jobs N] [--limit S]

A test that crashes or hangs costs only itself. DIR gets what each test printed and its comparisons, a line of JSON each.
"""

import argparse
import json
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from results import Results


def main():
    arguments = parse()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    results = Results(arguments.results, arguments.stage)
    names = [name for name in listed(arguments) if re.search(arguments.tests, name)]
    if not names:
        results.add("tests", problem=f"no test matches {arguments.tests}")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for result in pool.map(lambda name: run(name, arguments), names):
            results.add("test", **result)


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--program", type=Path, required=True)
    options.add_argument("--results", type=Path, required=True)
    options.add_argument("--stage", required=True)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--tests", required=True, help="regular expression")
    options.add_argument("--ignored", action="store_true", help="run the ignored tests")
    options.add_argument("--jobs", type=int, default=4, help="tests at a time")
    options.add_argument("--limit", type=float, default=60, help="seconds that a test may take")
    options.add_argument("--under", default="", help="a command that runs the program, such as a memory checker")
    return options.parse_args()


def listed(arguments) -> list[str]:
    command = [arguments.program, "--list", "--format", "terse", *(["--ignored"] if arguments.ignored else [])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.findall(r"^(.+): test$", output, re.MULTILINE)


def run(name: str, arguments) -> dict:
    """Runs a test."""
    log, record = (arguments.folder / f"{name.replace('::', '.')}.{kind}" for kind in ("log", "jsonl"))
    record.unlink(missing_ok=True)
    command = [*arguments.under.split(), arguments.program, "--exact", name, "--nocapture"]
    command += ["--include-ignored"] if arguments.ignored else []
    started = time.monotonic()
    with log.open("w") as file:
        try:
            environment = os.environ | {"TOOLCALL_TEST_RECORD": str(record)}
            code = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, timeout=arguments.limit
            ).returncode
        except subprocess.TimeoutExpired:
            code = "timeout"
    text = log.read_text(errors="replace")
    result = {"test": name, "passed": code == 0 and "1 passed" in text, "seconds": round(time.monotonic() - started, 1)}
    lines = record.read_text().splitlines() if record.exists() else []
    comparisons = [json.loads(line) for line in lines]
    result |= summary(comparisons)
    if not result["passed"]:
        return result | {"exit": code, "problem": problem(text)}
    far = [comparison for comparison in comparisons if not comparison["within"]]
    if far:
        worst = max(far, key=lambda comparison: comparison["relative"] / (comparison["allowed"] or 1))
        text = f"{worst['what']}: off by {worst['relative']:.1e}, allowed {worst['allowed']:.1e}"
        result |= {"passed": False, "problem": f"{len(far)} of {len(comparisons)} comparisons are too far off, the worst {text}"}
    return result


def summary(comparisons: list[dict]) -> dict:
    """The worst comparison of each kernel, and of the whole test, by precision."""
    kernels: dict[str, dict] = {}
    worst: dict[str, dict] = {}
    launched: list[str] = []
    for comparison in comparisons:
        launched = comparison["kernels"] or launched  # several outputs of one kernel are compared one after the other
        off = {key: comparison[key] for key in ("what", "off", "largest", "relative", "allowed", "precision")}
        for name in launched:
            kernels[name] = larger(kernels.get(name), off)
        precision = comparison["precision"]
        worst[precision] = larger(worst.get(precision), off)
    return {"comparisons": len(comparisons), "worst": worst, "kernels": kernels}


def larger(a: dict | None, b: dict) -> dict:
    """The one nearer to its tolerance, or beyond it: f32 sums of bf16 numbers may be as far off as bf16 allows."""
    return b if a is None or b["relative"] * a["allowed"] > a["relative"] * b["allowed"] else a


def problem(text: str) -> str:
    """The message of a failed test."""
    found = re.search(r"panicked at .*?:\n(.*?)(?:\nnote:|\Z)", text, re.DOTALL)
    return (found[1] if found else text[-600:]).strip()[:600]


if __name__ == "__main__":
    main()
