"""Runs every check that must pass before a merge, cheapest first; scripts/check starts it. The last line has the number of tests."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from glob import glob

from places import HOME, ROOT

START = time.monotonic()
PYTHON = sys.executable
NOTEBOOKS = ["train", "base_inference", "customer_transfer", "own_tools"]  # the first saves the model that the third loads
LOWER_ISAS = ["avx512", "avx2", "portable"]  # of x86-64: what other processors run


class Failed(Exception):
    """A step failed; the argument is its exit status."""


class Gate:
    """Runs the steps and counts the tests."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def step(self, name: str, *command: object, **environment: str) -> None:
        announce(name)
        finished = subprocess.run([str(word) for word in command], env={**os.environ, **environment})
        ended(finished.returncode)

    def tests(self, name: str, *command: object, **environment: str) -> None:
        """A step that runs tests, as cargo, nextest or unittest report them."""
        announce(name)
        words = [str(word) for word in command]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
        with subprocess.Popen(words, env={**os.environ, **environment}, **piped) as process:
            for line in process.stdout:
                print(line, end="", flush=True)
                passed, failed = count(line)
                self.passed += passed
                self.failed += failed
        ended(process.returncode)


def announce(name: str) -> None:
    print(f"\n== {name} ({time.monotonic() - START:.0f} s)", flush=True)


def ended(status: int) -> None:
    if status:
        raise Failed(status if status > 0 else 128 - status)


def count(line: str) -> tuple[int, int]:
    """Number of passed and of failed tests, as far as the line says so."""
    if ran := re.match(r"Ran (\d+) tests?", line):
        return int(ran[1]), 0
    if failed := re.match(r"FAILED \((.*)\)", line):
        return 0, sum(map(int, re.findall(r"\b(?:failures|errors)=(\d+)", failed[1])))
    if "test result:" in line or "Summary" in line:
        return tuple(sum(map(int, re.findall(rf"(\d+) {what}", line))) for what in ["passed", "failed"])
    return 0, 0


def features() -> tuple[list[str], list[str]]:
    """Builds everything once, with all features whose tests can run here, and prints what is skipped."""
    found, skipped = [], []
    if missing := os.environ.get("MPI_MISSING", "").strip():
        skipped.append(f"SKIPPED: the tests of training under mpirun; they run after apt-get install {missing}")
    else:
        found.append("toolcall_lib/mpi")
    if platform.system() != "Linux":
        skipped.append("SKIPPED: the tests of the CUDA kernels on the CPU; the emulation of a GPU needs Linux")
    elif shutil.which(os.environ.get("CXX") or "c++"):
        found.append("toolcall_lib/cuda")
    else:
        skipped.append("SKIPPED: the tests of the CUDA kernels on the CPU; they run after apt-get install g++")
    if not has_cuda_compiler():
        skipped.append("SKIPPED: compiling the CUDA kernels; the pinned compiler is for Linux on x86-64")
    return ["--features", ",".join(found)], skipped


def has_cuda_compiler() -> bool:
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def check(gate: Gate, with_features: list[str]) -> None:
    gate.step("format", "cargo", "fmt", "--all", "--check")
    gate.step("order of the modules", PYTHON, "scripts/dev/lint_modules.py")
    gate.step("lines and openings of the comments", PYTHON, "scripts/dev/lint_comments.py")
    gate.step("notebooks as they are committed", PYTHON, "scripts/dev/lint_notebooks.py", *sorted(glob("notebooks/*.ipynb")))
    gate.step("shell that every system has", PYTHON, "scripts/dev/lint_shell.py")
    tests = ["--start-directory", "scripts/dev/tests", "--pattern", "test_[!k]*.py"]
    gate.tests("tests of the scripts", PYTHON, "-m", "unittest", "discover", *tests)
    if has_cuda_compiler():
        gate.step("CUDA kernels for sm_80 and sm_90", "scripts/dev/check_cuda.sh")
    gate.step("clippy", "cargo", "clippy", "--quiet", "--workspace", "--all-targets", *with_features, "--", "-D", "warnings")
    documentation = ["cargo", "doc", "--quiet", "--workspace", "--no-deps", *with_features]
    gate.step("documentation", *documentation, RUSTDOCFLAGS="-D warnings")
    if subprocess.run(["cargo", "nextest", "--version"], capture_output=True).returncode == 0:
        gate.tests("tests of the library", "cargo", "nextest", "run", "--workspace", "--cargo-quiet", *with_features)
        gate.tests("examples in the documentation", "cargo", "test", "--quiet", "--workspace", "--doc", *with_features)
    else:
        gate.tests("tests of the library", "cargo", "test", "--quiet", "--workspace", *with_features)
    if platform.machine() in ("x86_64", "AMD64"):
        modules = ["cpu::", "ops::", "model::", "optimizer::", "weights::", "lora::", "train::"]
        kernels = ["--lib", "--test", "tests", *with_features, "--", *modules]
        for isa in LOWER_ISAS:
            command = ["cargo", "test", "--quiet", "--package", "toolcall_lib", *kernels]
            gate.tests(f"kernels with the instructions of {isa}", *command, TOOLCALL_MAX_CPU_ISA=isa)
    gate.tests("the notebook kernel", "scripts/dev/test_notebooks.sh")
    tiny = HOME / "models/tiny"
    gate.step("a tiny model", "cargo", "run", "--quiet", *with_features, "--example", "tiny_model", "--", tiny)
    for notebook in NOTEBOOKS:
        files = [f"notebooks/{notebook}.ipynb", "--model", tiny, "--out", f"out/check/{notebook}.ipynb"]
        gate.step(f"{notebook}.ipynb on the tiny model", "scripts/run_notebook.sh", *files)
        gate.passed += 1


def main() -> int:
    os.chdir(ROOT)
    os.environ.pop("WANDB_API_KEY", None)  # so that no test sends a run
    gate, status = Gate(), 1
    try:
        with_features, skipped = features()
        print(*skipped, sep="\n", end="\n" if skipped else "", flush=True)
        check(gate, with_features)
        print(f"\nall is well ({time.monotonic() - START:.0f} s)")
        print(*skipped, sep="\n", end="\n" if skipped else "")
        status = 0
    except Failed as failed:
        (status,) = failed.args
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    finally:
        print(f"{gate.passed} passed, {gate.failed or int(status != 0)} failed", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
