"""Asks our server and llama.cpp's for tool calls with the same weights, prompts and schemas, in turns, and compares.

`scripts/dev/bench_serve.sh` sets up what it needs and calls it. A round starts each server once, never both at the same time, and asks it
with 1, 8 and 32 clients; each client sends its next request when the last one is answered. All requests have the same system text
and five tools, and different questions of 10 to 200 tokens. A reply is one call: ours uses `tool_choice` "required", theirs a
grammar that llama.cpp's own converter makes from the same schemas. Every call is checked against its schema; a call that does not fit, or
was cut off, does not count. Decoding is greedy.

The time to the first token ends with the first piece of the stream: both servers send it when the model has written a token. Calls per
second are the median of the rounds, times cover all requests. The server of llama-cpp-python answers one request after the other; it keeps
the prompt of the last one, and reads only what is new. It gets all cores, batches of 2,048 tokens, and computes only the last logits: its
defaults are half of the cores, 512 tokens, and the logits of the whole prompt.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import socket
from statistics import median, quantiles
from threading import Thread

from llama_cpp_run import gbnf
from machine import describe
from serve_work import MESSAGES, TOOLS, problem, questions
from table import markdown

BENCH = Path(__file__).parent
CLIENTS = {1: 16, 8: 48, 32: 96}  # number of clients: their requests together
QUICK = {1: 3, 8: 8, 32: 32}
MOST_TOKENS = 128
LONGEST_START = 120  # seconds
TIMES = 3  # our calls per second with several clients, as a multiple of llama.cpp's, that we want
SAME_PROMPT = 1.01  # ratio of the two prompts' tokens: one may begin with an extra token
HEAD = ("clients", "server", "calls/s", "", "first token", "95 %", "whole call", "95 %", "invalid", "peak RSS")


@dataclass
class Asked:
    """A request that was answered."""

    first: float  # seconds until the first token
    all: float  # seconds until the end
    problem: str | None  # why the reply is not a valid call


class Ours:
    """`toolcall serve`."""

    name = "toolcall"

    def command(self, model: Path, port: int) -> list:
        return [os.environ["TOOLCALL"], "serve", "--model", model, "--port", port]

    def body(self, question: str) -> dict:
        return request(question) | {"tool_choice": "required", "parallel_tool_calls": False}

    def calls(self, pieces: list[dict]) -> list[tuple[str, str]]:
        """The calls of a stream: name, and arguments as a string."""
        deltas = (piece["choices"][0]["delta"] for piece in pieces)
        called = (call["function"] for delta in deltas for call in delta.get("tool_calls", []))
        return [(function["name"], function["arguments"]) for function in called]


class Theirs:
    """The server of llama-cpp-python."""

    name = "llama.cpp"

    def __init__(self):
        self.grammar = gbnf(TOOLS)

    def command(self, model: Path, port: int) -> list:
        cores = len(os.sched_getaffinity(0))
        flags = {"n_ctx": 4096, "n_batch": 2048, "n_threads": cores, "n_threads_batch": cores, "logits_all": False}
        flags |= {"interrupt_requests": False, "verbose": False}
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        return [sys.executable, BENCH / "llama_cpp_server.py", "--model", model, "--port", port, *words]

    def body(self, question: str) -> dict:
        return request(question) | {"grammar": self.grammar, "repeat_penalty": 1.0}

    def calls(self, pieces: list[dict]) -> list[tuple[str, str]]:
        text = "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces)
        call = json.loads(text.strip().removeprefix("<tool_call>").removesuffix("</tool_call>"))
        return [(call["name"], json.dumps(call["arguments"]))]


def request(question: str) -> dict:
    messages = [*MESSAGES, {"role": "user", "content": question}]
    return {"messages": messages, "tools": TOOLS, "temperature": 0, "max_tokens": MOST_TOKENS, "stream": True}


class Running:
    """A server that runs."""

    def __init__(self, server: Ours | Theirs, model: Path, log: Path):
        self.server, self.port = server, free_port()
        command = [str(word) for word in server.command(model, self.port)]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        until = time.monotonic() + LONGEST_START
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                sys.exit(f"error: {server.name} does not come up: {log.read_text()[-2000:]}")
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            return self.send("GET", "/v1/models").status == 200
        except OSError:
            return False

    def send(self, method: str, path: str, body: dict | None = None):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json", "connection": "close"})
        return connection.getresponse()

    def prompt_tokens(self, question: str) -> int:
        response = self.send("POST", "/v1/chat/completions", self.server.body(question) | {"stream": False})
        reply = json.loads(response.read())
        if response.status != 200:
            sys.exit(f"error: {self.server.name}: {reply}")
        return reply["usage"]["prompt_tokens"]

    def ask(self, question: str) -> Asked:
        start = time.perf_counter()
        response = self.send("POST", "/v1/chat/completions", self.server.body(question))
        pieces, first = [], None
        for line in response:
            if line.startswith(b"data: {"):  # other lines keep the connection alive
                first = first or time.perf_counter()
                pieces.append(json.loads(line[6:]))
        end = time.perf_counter()
        return Asked((first or end) - start, end - start, self.problem(response.status, pieces))

    def problem(self, status: int, pieces: list[dict]) -> str | None:
        if status != 200 or not all("choices" in piece for piece in pieces):
            return f"status {status}: {pieces}"
        if any(piece["choices"][0].get("finish_reason") == "length" for piece in pieces):
            return "cut off"
        try:
            calls = self.server.calls(pieces)
        except (ValueError, KeyError) as error:
            return f"no call: {error!r}"
        return problem(calls)

    def crowd(self, clients: int, asked: list[str]) -> dict:
        """Asks with several clients at once."""
        waiting, replies = SimpleQueue(), SimpleQueue()
        for question in asked:
            waiting.put(question)
        threads = [Thread(target=self.client, args=(waiting, replies)) for _ in range(clients)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        if replies.qsize() != len(asked):
            sys.exit(f"error: {self.server.name}: {len(asked) - replies.qsize()} requests had no answer")
        return {"seconds": seconds, "asked": [asdict(replies.get()) for _ in asked]}

    def client(self, waiting: SimpleQueue, replies: SimpleQueue):
        while True:
            try:
                question = waiting.get_nowait()
            except Empty:
                return
            replies.put(self.ask(question))

    def peak_rss(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def free_port() -> int:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def main():
    options = argparse.ArgumentParser(
        prog="scripts/dev/bench_serve.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    options.add_argument("--dtype", default="q8_0", help="type of the weights: bf16, f16, q8_0 (default), q4_0")
    options.add_argument("--quick", action="store_true", help="1 round with few requests")
    options.add_argument("--json", type=Path, help="also write everything to this file")
    arguments = options.parse_args()
    gguf = arguments.work / f"{arguments.dtype}.gguf"
    export = [os.environ["TOOLCALL"], "export", "--model", arguments.model, "--out", gguf, "--dtype", arguments.dtype]
    subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
    levels, rounds = (QUICK, 1) if arguments.quick else (CLIENTS, 3)
    servers = [Ours(), Theirs()]
    runs: dict[str, list[dict]] = {server.name: [] for server in servers}
    for number in range(1, rounds + 1):
        for server in servers:
            print(f"round {number} of {rounds}: {server.name}", file=sys.stderr, flush=True)
            log = arguments.work / f"{server.name}.log"
            runs[server.name].append(round_of(server, gguf, log, levels, number))
        check_prompts(*(runs[server.name][-1]["prompt_tokens"] for server in servers))
    machine = describe(("llama-cpp-python",))
    print(f"\n{arguments.dtype}, prompts of about {runs['toolcall'][0]['prompt_tokens']} tokens, {rounds} rounds, {date.today()}")
    print(f"{machine}\n")
    print(markdown([HEAD, *(row for clients in levels for row in rows(clients, runs))]))
    show_problems(runs)
    print(verdict({clients: ratio(speeds(clients, runs)) for clients in levels if clients > 1}))
    if arguments.json:
        result = {"date": str(date.today()), "machine": machine, "dtype": arguments.dtype, "runs": runs}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def round_of(server: Ours | Theirs, model: Path, log: Path, levels: dict[int, int], seed: int) -> dict:
    """Starts a server, asks it with each number of clients, and ends it. Each round has its own questions."""
    running = Running(server, model, log)
    try:
        first, *asked = questions(1 + sum(levels.values()), seed)
        run = {"prompt_tokens": running.prompt_tokens(first), "levels": {}}
        for clients, count in levels.items():
            run["levels"][clients], asked = running.crowd(clients, asked[:count]), asked[count:]
        return run | {"peak_rss": running.peak_rss()}
    finally:
        running.end()


def check_prompts(ours: int, theirs: int):
    if max(ours, theirs) > SAME_PROMPT * min(ours, theirs):
        sys.exit(f"error: the prompts are not the same: {ours} tokens here, {theirs} in llama.cpp")


def rows(clients: int, runs: dict[str, list[dict]]) -> list[tuple[str, ...]]:
    median_speeds = speeds(clients, runs)
    return [
        (
            str(clients),
            name,
            f"{median_speeds[name]:.2f}",
            f"{median_speeds[name] / median_speeds[Theirs.name]:.1f} ×" if median_speeds[Theirs.name] else "",
            *times(run["levels"][clients] for run in of),
            f"{sum(reply['problem'] is not None for run in of for reply in run['levels'][clients]['asked'])}",
            f"{max(run['peak_rss'] for run in of) / 2**20:.0f} MiB",
        )
        for name, of in runs.items()
    ]


def speeds(clients: int, runs: dict[str, list[dict]]) -> dict[str, float]:
    """The median of the valid calls per second of each server."""
    return {name: median(speed(run["levels"][clients]) for run in of) for name, of in runs.items()}


def ratio(of: dict[str, float]) -> float:
    """Our calls per second as a multiple of llama.cpp's."""
    return of[Ours.name] / of[Theirs.name] if of[Theirs.name] else math.inf


def verdict(ratios: dict[int, float]) -> str:
    """A line that says whether we make `TIMES` as many calls per second as llama.cpp with each number of clients."""
    found = ", ".join(f"{times:.1f} × with {clients} clients" for clients, times in ratios.items())
    return f"{'ok' if min(ratios.values()) >= TIMES else 'too slow'}: {found}; expected at least {TIMES} × llama.cpp's calls per second"


def speed(level: dict) -> float:
    """Valid calls per second."""
    return sum(reply["problem"] is None for reply in level["asked"]) / level["seconds"]


def times(levels) -> list[str]:
    """Median and 95th percentile of the time to the first token, and of the whole reply."""
    asked = [reply for level in levels for reply in level["asked"]]
    texts = []
    for name in ("first", "all"):
        seconds = [reply[name] for reply in asked]
        texts += [f"{median(seconds) * 1000:.0f} ms", f"{quantiles(seconds, n=20)[-1] * 1000:.0f} ms"]
    return texts


def show_problems(runs: dict[str, list[dict]]):
    for name, of in runs.items():
        replies = [reply for run in of for level in run["levels"].values() for reply in level["asked"]]
        problems = [reply["problem"] for reply in replies if reply["problem"]]
        print(f"{name}: {len(problems)} of {len(replies)} replies contain no valid call{''.join(f'{chr(10)}  {p}' for p in problems[:5])}")


if __name__ == "__main__":
    main()
