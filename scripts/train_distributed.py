"""Trains with several processes on this host; train_distributed.sh describes its usage."""

import os
import random
import re
import secrets
import signal
import subprocess
import sys

from places import ROOT, fail

PROGRAM = ROOT / "target/release/toolcall"


def main(words: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the ranks run, Ctrl-C ends this without a traceback
    ranks, threads, arguments = parse(words)
    ranks = ranks or gpus()
    if not ranks:
        fail("--ranks is missing: how many processes?")
    cores = usable_cores()
    threads = threads or max(cores // ranks, 1)
    if ranks * threads > cores:
        print(f"note: {ranks} ranks of {threads} threads on {cores} cores wait for each other", file=sys.stderr)
    build = ["cargo", "build", "--quiet", "--release", "--manifest-path", ROOT / "Cargo.toml", "--features", "cuda", "--bin", "toolcall"]
    if status := subprocess.run(build).returncode:
        return status
    return run([PROGRAM, "train", *arguments], ranks, environment(ranks, threads))


def parse(words: list[str]) -> tuple[int, int, list[str]]:
    """The numbers of ranks and threads, 0 where not given, and the arguments for `toolcall train`."""
    given = {"--ranks": 0, "--threads": 0}
    if threads := os.environ.get("RAYON_NUM_THREADS"):
        given["--threads"] = positive("RAYON_NUM_THREADS", threads)
    arguments = []
    rest = iter(words)
    for word in rest:
        if word in given:
            given[word] = positive(word, next(rest, ""))
        else:
            arguments.append(word)
    return given["--ranks"], given["--threads"], arguments


def positive(name: str, number: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", number):
        fail(f"{name}: `{number}` is not a positive number")
    return int(number)


def gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return 0
    return len(re.findall("^GPU", listed.stdout, re.M))


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(ranks: int, threads: int) -> dict[str, str]:
    """The variables of torchrun."""
    ours = {"RAYON_NUM_THREADS": str(threads), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
    own = {
        "MASTER_PORT": str(29500 + random.randrange(1000)),
        "TOOLCALL_RANKS_SECRET": secrets.token_hex(16),  # other users of this host can connect to that port too, but do not know the secret
    }
    given = {name: os.environ[name] for name in own if os.environ.get(name)}
    return {**os.environ, **ours, **own, **given}


def run(command: list[object], ranks: int, variables: dict[str, str]) -> int:
    """Starts the ranks and waits for them. A terminal sends Ctrl-C to all processes of its session; the ranks, in their own sessions,
    do not get it. They get SIGUSR1 instead, which asks them to stop. Returns the status of the last that failed."""
    processes: list[subprocess.Popen] = []
    asked = 0

    def stop(*_: object) -> None:
        nonlocal asked
        asked += 1
        if len(processes) == ranks:
            tell()

    def tell() -> None:
        if asked == 1:
            print("stopping after this step; once more to stop at once", file=sys.stderr, flush=True)
        for process in processes:
            process.send_signal(signal.SIGUSR1 if asked == 1 else signal.SIGKILL)

    for number in [signal.SIGINT, signal.SIGTERM]:
        signal.signal(number, stop)
    for rank in range(ranks):
        own = variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL, start_new_session=True))
    if asked:  # while not all of them were there
        tell()
    statuses = [process.wait() for process in processes]  # a rank that fails ends the others and reports why
    failed = [status if status > 0 else 128 - status for status in statuses if status]
    return failed[-1] if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
