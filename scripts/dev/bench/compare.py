"""Trains the same model on the same rows with TRL and with toolcall, in turns, and compares speed, memory and losses.

`scripts/dev/bench_vs_trl.sh` sets up what it needs and calls it. Each contender runs in its own process; a round runs
each once. The first two steps of a run, which allocate memory and compile kernels, count for the losses only.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median

from contenders import CONTENDERS, Contender, Run, write_sequences
from machine import LIMITS, describe, gemm_peaks
from table import markdown
from work import Shape, tree

BATCH = 8
WARMUP = 2
AGREEING_STEPS = 20
TOLERANCE = {"f32": 1e-3, "bf16": 1e-2}
COLUMNS = ("", "samples/s", "s/step", "peak RSS", "first loss", "last loss", "times TRL")


def main():
    arguments = parse()
    os.environ |= LIMITS.get(arguments.isa, {})
    out = arguments.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    write_rows(arguments.data, arguments.steps, out / "data.json")
    write_sequences(arguments.model, out)
    contenders = [contender for contender in CONTENDERS if arguments.loss in (None, contender.loss)]
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    peaks = []
    for number in range(1, arguments.rounds + 1):
        peaks.append(gemm_peaks())
        for contender in contenders:
            print(f"round {number} of {arguments.rounds}: {contender.name}", file=sys.stderr, flush=True)
            run = contender.run(arguments.model, arguments.steps, BATCH, arguments.precision, out)
            runs[contender.name].append(run)
    results = {name: Result(of) for name, of in runs.items()}
    report = Report(arguments, contenders, results, best_of(peaks))
    report.print()
    if arguments.json:
        arguments.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    sys.exit(0 if report.losses_agree() else 1)


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="scripts/dev/bench_vs_trl.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--name", required=True, help=argparse.SUPPRESS)
    options.add_argument("--model", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--data", type=Path, required=True, help="JSON file of conversations")
    options.add_argument("--out", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--quick", action="store_true", help="2 rounds of 4 steps")
    options.add_argument("--steps", type=int, help=f"optimizer steps of a run, more than {WARMUP} (default 75)")
    options.add_argument("--rounds", type=int, help="how often each contender runs (default 3)")
    options.add_argument("--loss", choices=["all", "assistant"], help="only contenders that train on these tokens")
    options.add_argument("--precision", choices=list(TOLERANCE), default="bf16", help="of matrix products")
    options.add_argument("--isa", choices=list(LIMITS), help="limit all contenders to these CPU instructions")
    options.add_argument("--json", type=Path, help="also write everything to this file")
    arguments = options.parse_args()
    arguments.steps = arguments.steps or (4 if arguments.quick else 75)
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 3)
    if arguments.steps <= WARMUP or arguments.rounds < 1:
        options.error(f"--steps must be more than {WARMUP} (the warmup), and --rounds at least 1")
    return arguments


def write_rows(data: Path, steps: int, out: Path):
    """The first rows, in whole batches and as many as all steps need, so that every pass is the same."""
    content = json.loads(data.read_text())
    if isinstance(content, dict):
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    count = min(steps * BATCH, len(content) // BATCH * BATCH)
    if count == 0:
        sys.exit(f"error: {data}: has {len(content)} rows; a batch needs {BATCH}")
    out.write_text(json.dumps(content[:count], ensure_ascii=False))


def best_of(peaks: list[dict]) -> dict:
    """The largest value of each engine and precision."""
    return {
        engine: {kind: max(peak[engine][kind] for peak in peaks) for kind in of}
        for engine, of in peaks[0].items()
    }


@dataclass
class Result:
    """All runs of a contender."""

    runs: list[Run]
    done: list[Run] = field(init=False)

    def __post_init__(self):
        self.done = [run for run in self.runs if run.problem is None]

    @property
    def seconds(self) -> float:
        """Median seconds of a step."""
        return median(s for run in self.done for s in run.seconds[WARMUP:])

    @property
    def peak_rss(self) -> int:
        """Bytes."""
        return max(run.peak_rss for run in self.done)


@dataclass
class Report:
    """The results of all contenders."""

    arguments: argparse.Namespace
    contenders: list[Contender]
    results: dict[str, Result]
    peaks: dict[str, dict[str, float]]

    def print(self):
        a = self.arguments
        print(f"\n{a.name}, {a.precision}, batch {BATCH}, {a.steps} steps, {a.rounds} rounds, {date.today()}")
        print(describe())
        print("\n" + markdown([COLUMNS, *(self.row(contender) for contender in self.contenders)]) + "\n")
        for engine, of in self.peaks.items():
            print(f"GEMM peak, {engine}: " + ", ".join(f"{kind} {peak:.0f} GFLOP/s" for kind, peak in of.items()))
        for contender in self.contenders:
            result = self.results[contender.name]
            if contender.ours and result.done:
                print(
                    f"{contender.name}: {self.gflops(contender):.0f} GFLOP/s in products over the whole step, "
                    f"{self.share(contender):.0%} of the peak"
                )
            for problem in sorted({run.problem for run in result.runs if run.problem}):
                print(f"{contender.name}: {problem}")
        for ours, theirs in self.pairs():
            print(self.agreement(ours, theirs))

    def row(self, contender: Contender) -> tuple[str, ...]:
        result = self.results[contender.name]
        if not result.done:
            return (contender.name, *["–"] * (len(COLUMNS) - 1))
        losses = result.done[0].losses
        ratio = "1"
        if contender.ours:
            theirs = self.results[contender.against]
            ratio = f"{theirs.seconds / result.seconds:.2f}" if theirs.done else "–"
        return (
            contender.name,
            f"{BATCH / result.seconds:.2f}",
            f"{result.seconds:.2f}",
            f"{result.peak_rss / 2**30:.1f} GiB",
            f"{losses[0]:.4f}",
            f"{losses[-1]:.4f}",
            ratio,
        )

    def pairs(self) -> list[tuple[Contender, Contender]]:
        """Pairs of our contender and its opponent, where both ran."""
        by_name = {contender.name: contender for contender in self.contenders}
        pairs = [(c, by_name[c.against]) for c in self.contenders if c.ours]
        return [pair for pair in pairs if all(self.results[c.name].done for c in pair)]

    def difference(self, ours: Contender, theirs: Contender) -> float | None:
        """Largest difference of the first losses; None where the trained tokens differ."""
        a, b = (self.results[contender.name].done[0] for contender in (ours, theirs))
        if not b.same_tokens:
            return None
        return max(abs(x - y) for x, y in list(zip(a.losses, b.losses, strict=True))[:AGREEING_STEPS])

    def agreement(self, ours: Contender, theirs: Contender) -> str:
        largest, allowed = self.difference(ours, theirs), TOLERANCE[self.arguments.precision]
        names = f"{ours.name} and {theirs.name}"
        if largest is None:
            return (
                f"{names}: losses are not comparable; the model's template writes a turn differently when it is "
                "not the last, so TRL trains one rendering of its own training template"
            )
        verdict = "losses agree" if largest <= allowed else "LOSSES DIFFER"
        steps = min(AGREEING_STEPS, self.arguments.steps)
        return f"{names}: {verdict}: largest difference {largest:.1e} over {steps} steps (allowed {allowed:.0e})"

    def losses_agree(self) -> bool:
        differences = [self.difference(*pair) for pair in self.pairs()]
        return all(d is None or d <= TOLERANCE[self.arguments.precision] for d in differences)

    def gflops(self, contender: Contender) -> float:
        """Median over the steps of the rate that our products reach."""
        rows, shape = contender.rows(self.arguments.out), Shape.of(self.arguments.model)
        batches = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
        flop = [shape.flop(tree([s for row in batch for s in row])) for batch in batches]
        steps = [
            flop[step % len(flop)] / seconds
            for run in self.results[contender.name].done
            for step, seconds in enumerate(run.seconds)
            if step >= WARMUP
        ]
        return median(steps) / 1e9

    def share(self, contender: Contender) -> float:
        """Share of the best rate that either engine reaches in a large product."""
        precision = self.arguments.precision
        return self.gflops(contender) / max(of[precision] for of in self.peaks.values())

    def to_json(self) -> dict:
        contenders = {}
        for contender in self.contenders:
            result = self.results[contender.name]
            entry = {"runs": [vars(run) for run in result.runs]}
            if result.done:
                entry |= {"seconds_per_step": result.seconds, "samples_per_second": BATCH / result.seconds}
                entry |= {"peak_rss_bytes": result.peak_rss}
            if contender.ours and result.done:
                entry |= {"gflops": self.gflops(contender), "share_of_peak": self.share(contender)}
            contenders[contender.name] = entry
        for ours, theirs in self.pairs():
            ratio = self.results[theirs.name].seconds / self.results[ours.name].seconds
            contenders[ours.name] |= {
                "against": theirs.name,
                "ratio": ratio,
                "loss_difference": self.difference(ours, theirs),
            }
        settings = {key: getattr(self.arguments, key) for key in ("steps", "rounds", "precision")}
        return {
            "model": self.arguments.name,
            "date": str(date.today()),
            "machine": describe(),
            "batch": BATCH,
            **settings,
            "gemm_peak_gflops": self.peaks,
            "contenders": contenders,
        }


if __name__ == "__main__":
    main()
