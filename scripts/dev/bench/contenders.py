"""The contenders of the comparison: how each is started, and what a run reports."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

LEARNING_RATE = 2e-5  # TRL's default
BENCH = Path(__file__).parent

# Fresh memory is expensive in virtual machines. With these settings glibc keeps its memory, which speeds PyTorch up.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


@dataclass
class Run:
    """One run of a contender."""

    seconds: list[float] = field(default_factory=list)  # of each step
    losses: list[float] = field(default_factory=list)  # of each step, in nats
    peak_rss: int = 0  # bytes
    same_tokens: bool = True  # trains the same tokens as `toolcall inspect` shows
    problem: str | None = None


@dataclass
class Contender:
    """A trainer with settings."""

    name: str
    loss: str  # which tokens are trained on
    settings: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    against: str = ""  # ours: TRL with the same trained tokens

    @property
    def ours(self) -> bool:
        return bool(self.against)

    def rows(self, out: Path) -> list[list[dict]]:
        """The sequences of each row, as write_sequences wrote them."""
        return [json.loads(line)["sequences"] for line in rows_file(self.loss, out).read_text().splitlines()]

    def run(self, model: Path, steps: int, batch: int, precision: str, out: Path) -> Run:
        bf16 = precision == "bf16"
        work = self.run_ours if self.ours else self.run_trl
        return work(model, steps, {"bf16": bf16, "per_device_train_batch_size": batch}, out)

    def run_ours(self, model: Path, steps: int, settings: dict, out: Path) -> Run:
        settings |= {"loss": self.loss, "max_steps": steps, "learning_rate": LEARNING_RATE, "shuffle": False}
        config, tuned = out / "ours.json", out / "ours"
        config.write_text(json.dumps(settings))
        command = [toolcall(), "train", "--recipe", "seed", "--model", model, "--data", out / "data.json"]
        run = measure([*command, "--config", config, "--out", tuned], self.environment, out / "ours.log")
        if run.problem is None:
            report = json.loads((tuned / "train_report.json").read_text())
            batch = settings["per_device_train_batch_size"]
            run.seconds = [batch / step["samples_per_second"] for step in report["steps"]]
            run.losses = [step["loss"] for step in report["steps"]]
        shutil.rmtree(tuned, ignore_errors=True)
        return run

    def run_trl(self, model: Path, steps: int, settings: dict, out: Path) -> Run:
        result = out / "trl.json"
        settings |= {"learning_rate": LEARNING_RATE, **self.settings}
        command = [sys.executable, BENCH / "trl_run.py", "--model", model, "--rows", rows_file(self.loss, out)]
        command += ["--data", out / "data.json", "--steps", steps, "--settings", json.dumps(settings)]
        command += ["--out", result]
        run = measure(command, self.environment, out / "trl.log")
        if run.problem is None:
            report = json.loads(result.read_text())
            run.seconds, run.losses = report["seconds"], report["losses"]
            run.same_tokens = report["same_tokens"]
        return run


CONTENDERS = [
    Contender("TRL, its defaults", "all"),
    Contender("toolcall, all tokens", "all", against="TRL, its defaults"),
    Contender(
        "TRL, at its best",
        "assistant",
        {"gradient_checkpointing": False, "optim": "adamw_torch_fused"},
        KEEP_MEMORY,
    ),
    Contender("toolcall, assistant's tokens", "assistant", against="TRL, at its best"),
]


def rows_file(loss: str, out: Path) -> Path:
    return out / f"rows_{loss}.jsonl"


def write_sequences(model: Path, out: Path):
    """The token ids of `data.json`, for every loss that a contender has."""
    for loss in {contender.loss for contender in CONTENDERS}:
        command = [toolcall(), "inspect", "--json", "--loss", loss, "--model", model, "--data", out / "data.json"]
        with rows_file(loss, out).open("w") as file:
            subprocess.run(command, stdout=file, check=True)


def toolcall() -> str:
    """Our binary."""
    return os.environ["TOOLCALL"]


def measure(command: list, environment: dict, log: Path) -> Run:
    """Runs a program to its end with its output in `log`, and asks the kernel for its peak memory."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=file, stderr=file, env=os.environ | environment
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    run = Run(peak_rss=usage.ru_maxrss * 1024)
    if code == -9:
        run.problem = "was killed; it probably ran out of memory"
    elif code != 0:
        run.problem = f"failed ({code}): " + (log.read_text().strip().splitlines() or ["no output"])[-1]
    return run
