"""Reads prompts, writes tokens and calls tools with the same weights in toolcall, llama.cpp and transformers, in turns, and compares.

`scripts/dev/bench_generate.sh` sets up what it needs and calls it. Each contender runs in its own process; a round runs each once.
Times are medians over the rounds: the time to read the first prompt, and the median step that writes a token for every
sequence of a batch. Decoding is greedy. Memory is the peak of the process. The bandwidth limit is the bytes
of the weights over the speed at which both cores read memory: no token can be faster.

A call answers a prompt, from its text to its last tag, constrained to the same schemas. Cold: nothing is cached. Warm: the system text
and the tools have been read before. transformers has no grammar: it writes as many tokens as our calls have, freely. llama.cpp repacks
weights where that is faster, except on processors with AMX, where llama-cpp-python 0.3.36 crashes when it does.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

from machine import LIMITS, describe
from table import markdown

BENCH = Path(__file__).parent
PROMPTS = 32
CALLS = 6  # the first is not timed
WEIGHTS = ("bf16", "f16", "q8_0", "q4_0")
COLUMNS = (
    ("", "weights", "prompt tokens/s", "tokens/s", "of the limit", "8 together", "32 together")
    + ("call, cold", "call, warm", "its tokens", "peak RSS")
)


@dataclass
class Contender:
    """A program with weights of a type."""

    engine: str
    weights: str

    def command(self, models: Path, work: Path) -> list:
        gguf = models / f"{self.weights}.gguf"
        match self.engine:
            case "toolcall":
                return [os.environ["DECODE_SPEED"], gguf, work]
            case "llama.cpp":
                isa = os.environ.get("TOOLCALL_MAX_CPU_ISA")
                python = Path(os.environ["LLAMA_CPP_HOME"]) / (f"llama_cpp_{isa}" if isa else "llama_cpp") / "bin/python"
                return [python, BENCH / "llama_cpp_run.py", gguf, work]
            case _:
                return [sys.executable, BENCH / "transformers_run.py", models / "f32", self.weights, work]

    def run(self, models: Path, work: Path) -> dict:
        """The output of the program, and its peak memory in bytes."""
        command = [str(word) for word in self.command(models, work)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"error: failed ({process.returncode}): {' '.join(command)}")
        return json.loads(output.splitlines()[-1]) | {"peak_rss": usage.ru_maxrss * 1024}


CONTENDERS = [
    *(Contender("toolcall", weights) for weights in WEIGHTS),
    *(Contender("llama.cpp", weights) for weights in WEIGHTS),
    Contender("transformers", "bf16"),
]


def main():
    options = argparse.ArgumentParser(
        prog="scripts/dev/bench_generate.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--models", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--data", type=Path, required=True, help="JSON file of conversations: the prompts")
    options.add_argument("--quick", action="store_true", help="1 round of 16 tokens")
    options.add_argument("--isa", choices=list(LIMITS), help="limit all contenders to these CPU instructions")
    options.add_argument("--json", type=Path, help="also write everything to this file")
    arguments = options.parse_args()
    os.environ |= LIMITS.get(arguments.isa, {})
    work = {"new_tokens": 16 if arguments.quick else 48, "batches": [1, 8, 32], "most_call_tokens": 96}
    work |= prompts(arguments.models / "bf16.gguf", arguments.data)
    file = arguments.models / "work.json"
    runs: list[list[dict]] = [[] for _ in CONTENDERS]
    bandwidths = []
    rounds = 1 if arguments.quick else 3
    for number in range(1, rounds + 1):
        bandwidths.append(bandwidth())
        for contender, of in zip(CONTENDERS, runs, strict=True):
            name = f"{contender.engine} {contender.weights}"
            print(f"round {number} of {rounds}: {name}", file=sys.stderr, flush=True)
            file.write_text(json.dumps(work))
            of.append(contender.run(arguments.models, file))
            work.setdefault("call_tokens", round(of[0]["calls"]["tokens"]))  # of the first contender's calls
    limit = max(bandwidths)
    print(f"\n{len(work['prompts'][0])} tokens of prompt, {work['new_tokens']} written, {rounds} rounds, {date.today()}")
    print(describe())
    print(f"both cores read {limit / 1e9:.1f} GB/s\n")
    print(markdown([COLUMNS, *(row(c, of, limit) for c, of in zip(CONTENDERS, runs, strict=True))]))
    if arguments.json:
        entries = [vars(c) | {"runs": of} for c, of in zip(CONTENDERS, runs, strict=True)]
        result = {"date": str(date.today()), "machine": describe(), "read_bytes_per_second": limit, "contenders": entries}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def prompts(model: Path, data: Path) -> dict:
    """The prompt before the first reply of each row; the tools of the first one, and different prompts that offer the same tools."""
    command = [os.environ["TOOLCALL"], "inspect", "--json", "--model", model, "--data", data]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in output.splitlines()]
    sequences = [row["sequences"][0] for row in rows[:PROMPTS]]
    firsts = {row["prompts"][0]: row["row"] for row in reversed(rows)}
    tools = rows[0]["prompts"][0].split("<tools>\n")[1].split("\n</tools>")[0]
    texts = [text for text in firsts if tools in text][-CALLS:]
    return {
        "prompts": [s["ids"][: s["trained"].index(True)] for s in sequences],
        "tools": [json.loads(line) for line in tools.splitlines()],
        "data": str(data),
        "calls": [firsts[text] for text in texts],
        "call_prompts": texts,
    }


def bandwidth() -> float:
    """Bytes per second that all cores read together, measured with torch, whose sum of a large array does nothing but read."""
    code = (
        "import torch, time; x = torch.ones(1 << 28); best = 1e9\n"
        "for _ in range(5):\n t = time.perf_counter(); x.sum(); best = min(best, time.perf_counter() - t)\n"
        "print((1 << 30) / best)"
    )
    return float(subprocess.check_output([sys.executable, "-c", code]))


def row(contender: Contender, runs: list[dict], limit: float) -> tuple[str, ...]:
    tokens = {batch: int(batch) / median(run["token_seconds"][batch] for run in runs) for batch in runs[0]["token_seconds"]}
    read = median(run["prompt_tokens"] / run["read_seconds"] for run in runs)
    call = {name: median(run["calls"][name] for run in runs) for name in runs[0]["calls"]}
    return (
        contender.engine,
        contender.weights,
        f"{read:.0f}",
        f"{tokens['1']:.1f}",
        f"{tokens['1'] * runs[0]['weight_bytes'] / limit:.0%}",
        f"{tokens['8']:.0f}",
        f"{tokens['32']:.0f}",
        f"{call['cold_seconds'] * 1000:.0f} ms",
        f"{call['warm_seconds'] * 1000:.0f} ms",
        f"{call['tokens']:.0f}",
        f"{max(run['peak_rss'] for run in runs) / 2**20:.0f} MiB",
    )


if __name__ == "__main__":
    main()
