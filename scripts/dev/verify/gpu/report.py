"""Makes tables of the results of `run.sh`: report.py RESULTS, where RESULTS is results.jsonl or its folder.

If a stage ran twice, its later results count. Failures come first.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from parity import larger  # noqa: E402
from table import markdown  # noqa: E402

ALLOWED = {"f32": 1e-4, "bf16": 6e-2}
SHOWN = 12  # kernels whose time is shown
NOT_TRAINED = ("a loop", "TRL")


def main():
    file = Path(sys.argv[1])
    file = file / "results.jsonl" if file.is_dir() else file
    print("\n\n".join(report([json.loads(line) for line in file.read_text().splitlines()])))


def report(results: list[dict]) -> list[str]:
    """Paragraphs and tables."""
    found = Found(latest(results))
    sections = [heading, problems, parity, whole, training, kernels, replies, nccl, sanitizer, limits, stages]
    return [text for section in sections for text in section(found) if text]


def latest(results: list[dict]) -> list[dict]:
    """The results without those of earlier runs of a stage: each run of a stage ends with its own line."""
    kept: dict[str, list[dict]] = {}
    ended: set[str] = set()
    for result in results:
        stage = result["stage"]
        if stage in ended:
            kept[stage] = []
            ended.discard(stage)
        kept.setdefault(stage, []).append(result)
        if result["what"] == "stage":
            ended.add(stage)
    return [result for of_stage in kept.values() for result in of_stage]


class Found:
    """The results by kind."""

    def __init__(self, results: list[dict]):
        self.results = results

    def of(self, what: str, stage: str | None = None) -> list[dict]:
        return [r for r in self.results if r["what"] == what and stage in (None, r["stage"])]

    def first(self, what: str) -> dict:
        return next(iter(self.of(what)), {})


def heading(found: Found):
    peaks, devices = found.first("peaks"), found.first("devices")
    card = re.search(r"^cuda 0: (.*)$", devices.get("text", ""), re.MULTILINE)
    if card and "pretending" in card[1]:
        yield "**A rehearsal: the GPU is the host, PyTorch runs on the CPU, and no time or speed below means anything.**"
    if card:
        yield f"{card[1]}."
    if peaks:
        flops, bandwidth = peaks["bf16_flops"] / 1e12, peaks["bytes_per_second"] / 1e12
        yield f"PyTorch {peaks['torch']} multiplies large bf16 matrices at {flops:.3g} TFLOP/s and copies {bandwidth:.3g} TB/s."


def problems(found: Found):
    lines = [f"- stage {r['stage']}, {r.get('test') or r.get('name') or r.get('tool') or r['what']}: {said(r)}" for r in wrong(found)]
    if lines:
        yield "What failed, or was not there:\n\n" + "\n".join(lines)


def wrong(found: Found) -> list[dict]:
    def is_wrong(result: dict) -> bool:
        if result["what"] == "stage":
            return result["status"] != 0
        return result.get("passed") is False or "problem" in result

    return [result for result in found.results if is_wrong(result)]


def said(result: dict) -> str:
    if result["what"] == "stage":
        return {124: f"stopped after {result.get('limit')} s"}.get(result["status"], f"ended with {result['status']}")
    return " ".join(str(result.get("problem", "")).split()) or "failed"


def parity(found: Found):
    """Each kernel's largest difference from the CPU's."""
    worst: dict[str, dict] = {}
    for test in found.of("test", "b"):
        for kernel, off in test["kernels"].items():
            worst[kernel] = larger(worst.get(kernel), off)
    if not worst:
        return
    yield "Every kernel against the CPU: the largest difference from it, and over the largest number of that output."
    rows = [(f"`{kernel}`", off["what"], number(off["off"]), number(off["relative"])) for kernel, off in sorted(worst.items())]
    yield markdown([("kernel", "of its output", "difference", "relative"), *rows])
    for precision, allowed in ALLOWED.items():
        of_precision = [off["relative"] for off in worst.values() if off["precision"] == precision]
        if of_precision:
            verdict = "within" if max(of_precision) <= allowed else "NOT WITHIN"
            yield f"{precision}: {len(of_precision)} kernels, at most {number(max(of_precision))}, {verdict} {number(allowed)}."


def whole(found: Found):
    """Steps and replies against the CPU's."""
    tests = [test for test in found.of("test", "c") if test["comparisons"]]
    if not tests:
        return
    rows = []
    for test in sorted(tests, key=lambda test: test["test"]):
        for precision, off in sorted(test["worst"].items()):
            name = test["test"].rsplit("::", 1)[1].replace("_", " ")
            rows.append((name, precision, str(test["comparisons"]), off["what"], number(off["relative"]), number(off["allowed"])))
    yield "Whole steps and replies against the CPU: losses, gradients, weights, moments, logits."
    yield markdown([("", "", "compared", "furthest off", "relative", "allowed"), *rows])


def training(found: Found):
    runs = [run for run in found.of("training") if "problem" not in run]
    if not runs:
        return
    ours = [run for run in runs if not run["name"].startswith(NOT_TRAINED)]
    best = max((run["samples_per_second"] for run in runs if run not in ours), default=None)
    peak = found.first("peaks").get("bf16_flops")
    rows = []
    for run in runs:
        share = f"{run['flop_per_second'] / peak:.0%}" if peak and "flop_per_second" in run else ""
        ratio = f"{run['samples_per_second'] / best:.2f}" if best and run in ours else ""
        rows.append(
            (
                run["name"],
                f"{run['samples_per_second']:.1f}",
                f"{run['seconds_per_step'] * 1000:.1f} ms",
                gib(run.get("card_bytes")),
                f"{run['first_loss']:.3f}",
                f"{run['last_loss']:.3f}",
                share,
                ratio,
            )
        )
    yield f"Training, {runs[0]['steps']} steps of the shape of Qwen3-0.6B:"
    head = ("", "samples/s", "a step", "memory of the card", "first loss", "last loss", "of the bf16 peak", "times the best other")
    yield markdown([head, *rows])


def kernels(found: Found):
    profile = found.first("profile").get("profile")
    if not profile:
        return
    steps, total = profile["steps"], sum(kernel["seconds"] for kernel in profile["kernels"])
    copies = sum(kernel["seconds"] for kernel in profile["kernels"] if is_copy(kernel))
    rows = [
        (
            f"`{kernel['name']}`",
            f"{kernel['calls'] / steps:.0f}",
            f"{kernel['seconds'] / steps * 1000:.2f} ms",
            f"{kernel['seconds'] / (total - copies):.0%}",
        )
        for kernel in [kernel for kernel in profile["kernels"] if not is_copy(kernel)][:SHOWN]
    ]
    took, allocated = (total - copies) / steps * 1000, gib(profile["peak_bytes"])
    yield f"Of {took:.1f} ms a step on the GPU, with at most {allocated} allocated, and {copies:.1f} s of copies for the whole run:"
    yield markdown([("", "calls a step", "a step", "of it"), *rows])


def is_copy(kernel: dict) -> bool:
    """The weights and their moments are copied to the GPU and back once in a run, however many steps it has."""
    return kernel["name"].startswith("copy")


def replies(found: Found):
    rows = [
        (
            reply["engine"],
            str(reply["batch"]),
            f"{reply['prompt_tokens'] / reply['read_seconds']:,.0f}",
            f"{reply['batch'] / reply['token_seconds']:,.0f}",
        )
        for reply in found.of("replies")
        if "problem" not in reply
    ]
    if rows:
        yield "Replies, bf16. Prompt tokens are counted without sharing:"
        yield markdown([("", "at once", "prompt tokens/s", "reply tokens/s"), *rows])


def nccl(found: Found):
    for test in found.of("test", "f"):
        yield f"NCCL, {test['test'].rsplit('::', 1)[1].replace('_', ' ')}: {'yes' if test['passed'] else 'NO'}."
    for ranks in found.of("two ranks on one GPU"):
        answers = (ranks.get("text", ""), ranks.get("other", ""))
        last = [answer.splitlines()[-1] if answer else "nothing" for answer in answers]
        yield f"Two ranks on one GPU ended with {ranks['status']} and said: {last[0]} / {last[1]}"


def sanitizer(found: Found):
    for check in found.of("sanitizer"):
        if "summaries" in check:
            tests = len(found.of("test", "g"))
            yield f"compute-sanitizer, {check['tool']} ({tests} runs of both tools):\n\n" + code(check["summaries"])


def limits(found: Found):
    kernels = [kernel for kernel in found.of("ncu") if "problem" not in kernel]
    names = ("duration", "compute_percent", "memory_percent", "occupancy_percent", "registers")
    rows = [(f"`{kernel['kernel']}`", *(kernel.get(name, "") for name in names)) for kernel in kernels]
    if rows:
        yield "The slowest kernels, by ncu:"
        yield markdown([("", "time", "compute", "memory", "occupancy", "registers"), *rows])
        advice = [f"- `{kernel['kernel']}`: {text}" for kernel in kernels for text in kernel.get("advice", [])]
        yield "\n".join(advice)


def stages(found: Found):
    rows = [(r["stage"], f"{r.get('seconds', 0)} s", str(r["status"])) for r in found.of("stage")]
    if rows:
        yield markdown([("stage", "took", "ended with"), *rows])


def number(x: float) -> str:
    return "0" if x == 0 else f"{x:.1e}"


def gib(count: int | None) -> str:
    return f"{count / 2**30:.1f} GiB" if count else ""


def code(text: str) -> str:
    return f"```\n{text}\n```"


if __name__ == "__main__":
    main()
