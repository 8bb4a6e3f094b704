#!/usr/bin/env python3
"""Trains with other data or settings, scores the model on the held-out rows, and adds a line to the log of experiments.

    scripts/dev/ablate.py more-timers --why "timers are off by one carry" --mixture default --rows 4000 --config '{"learning_rate": 3e-4}'
    scripts/dev/ablate.py --plan trials.jsonl --jobs 4

A plan has a trial on each line, an object with the fields of `Trial`; `--jobs` of them run in parallel, which pays on a GPU. Every trial
stays in toolcall_lib/docs/experiments.jsonl, failures too: what was tried, why, and what came out. `--table` prints the log as a Markdown
table.
"""

import argparse
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "toolcall_lib/docs/experiments.jsonl"
HELD_OUT = {
    "timers": "tool_heldout",
    "varied": "varied_heldout",
    "customers": "customer_heldout",
    "fresh timers": "fresh/timers",
    "fresh varied": "fresh/varied",
    "fresh customers": "fresh/customers",
    "own": "own/heldout",
}
WITHOUT_OWN = [name for name in HELD_OUT if name != "own"]


@dataclasses.dataclass
class Trial:
    name: str
    why: str = ""
    # Commands that make the rows, such as ["data", "--mixture", "default"], and files.
    data: list = dataclasses.field(default_factory=lambda: [["data", "--mixture", "default"]])
    recipe: str = "default"
    config: dict = dataclasses.field(default_factory=dict)  # settings that differ from the recipe
    model: str | None = None  # to start from; "trial:NAME" is the model of another trial
    trained: str | None = None  # score this model, which was trained elsewhere with these rows and settings
    score: list = dataclasses.field(default_factory=lambda: WITHOUT_OWN)  # names of HELD_OUT, and "bfcl CATEGORY"
    limit: int = 200  # longest reply in tokens
    keep: bool = True  # the model


class Runner:
    def __init__(self, toolcall: Path, lists: Path, folder: Path, log: Path):
        self.toolcall, self.lists, self.folder, self.log = toolcall, lists, folder, log
        self.lock = threading.Lock()
        self.done: dict[str, threading.Event] = {}

    def run_all(self, trials: list[Trial], jobs: int) -> int:
        self.done = {trial.name: threading.Event() for trial in trials}
        with ThreadPoolExecutor(jobs) as pool:
            return sum(pool.map(self.run, trials))

    def run(self, trial: Trial) -> int:
        """Runs a trial and adds it to the log; returns 1 if it failed."""
        folder = self.folder / trial.name
        folder.mkdir(parents=True, exist_ok=True)
        start, failed, scores, minutes, data = time.monotonic(), None, {}, None, []
        try:
            data = [self.rows(given, folder / f"data{index or ''}.json") for index, given in enumerate(trial.data)]
            tuned = Path(trial.trained or folder / "model")
            if not trial.trained:
                minutes = self.train(trial, data, folder)
            scores = self.scores(trial, tuned, folder)
            if not trial.keep:
                shutil.rmtree(tuned)
        except subprocess.CalledProcessError as error:
            lines = (error.stderr or (folder / "train.log").read_text()).strip().splitlines()
            failed = lines[-1] if lines else str(error)
        except OSError as error:
            failed = str(error)
        finally:
            if event := self.done.get(trial.name):
                event.set()
        entry = {
            "name": trial.name,
            "why": trial.why,
            "date": time.strftime("%Y-%m-%d"),
            "processor": processor(),
            "made": trial.data,
            "data": digest([path for path in data if path.exists()]),
            "rows": sum(count(path) for path in data if path.parent == folder and path.exists()),  # that were made
            "recipe": trial.recipe,
            "config": trial.config,
            "model": trial.model,
            "minutes": minutes,
            "minutes_in_all": round((time.monotonic() - start) / 60, 1),
            "failed": failed,
            "scores": scores,
        }
        with self.lock, open(self.log, "a") as file:
            file.write(json.dumps(entry) + "\n")
        print(trial.name, failed or line(scores), flush=True)
        return int(failed is not None)

    def rows(self, given: list | str, out: Path) -> Path:
        if isinstance(given, str):
            return ROOT / given
        out.unlink(missing_ok=True)
        self.call([*given, "--lists", self.lists, "--out", out])
        return out

    def train(self, trial: Trial, data: list[Path], folder: Path) -> float:
        settings = folder / "config.json"
        settings.write_text(json.dumps(trial.config))
        command = ["train", "--recipe", trial.recipe, "--config", settings, "--data", *data, "--out", folder / "model"]
        start = time.monotonic()
        with open(folder / "train.log", "w") as file:
            command = [self.toolcall, *command, *self.model(trial.model)]
            subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=True)
        return round((time.monotonic() - start) / 60, 2)

    def model(self, name: str | None) -> list:
        if name is None:
            return []
        if name.startswith("trial:"):
            name = name.removeprefix("trial:")
            if event := self.done.get(name):
                event.wait()
            return ["--model", self.folder / name / "model"]
        return ["--model", name]

    def scores(self, trial: Trial, tuned: Path, folder: Path) -> dict:
        found = {}
        for name in trial.score:
            if name in HELD_OUT:
                what = ["--data", ROOT / f"data/{HELD_OUT[name]}.json", "--max-new-tokens", str(trial.limit)]
            else:
                what = ["--bfcl", *name.split()[1:], "--constrained"]
            printed = self.call(["eval", "--model", tuned, *what, "--json"])
            (folder / f"{name}.json").write_text(printed)
            report = json.loads(printed)
            found[name] = report["counts"] if name in HELD_OUT else accuracies(report)
        return found

    def call(self, arguments: list) -> str:
        return subprocess.run([self.toolcall, *arguments], capture_output=True, text=True, check=True).stdout


def accuracies(categories: list[dict]) -> dict:
    return {found["category"]: round(100 * found["right"] / found["rows"], 1) for found in categories}


def main() -> int:
    arguments = parse()
    if arguments.table:
        print(table(arguments.log))
        return 0
    if arguments.found:
        return note(arguments.log, arguments.found)
    runner = Runner(Path(arguments.toolcall), Path(arguments.lists), Path(arguments.folder), Path(arguments.log))
    if arguments.plan:
        trials = [Trial(**json.loads(line)) for line in Path(arguments.plan).read_text().splitlines()]
        return runner.run_all(trials, arguments.jobs)
    made = ["data", "--mixture", arguments.mixture, "--seed", str(arguments.seed)]
    made += ["--rows", str(arguments.rows)] if arguments.rows else []
    trial = Trial(
        name=arguments.name,
        why=arguments.why,
        data=[made, *arguments.data],
        recipe=arguments.recipe,
        config=json.loads(arguments.config),
        model=arguments.model,
        trained=arguments.trained,
        limit=arguments.limit,
    )
    return runner.run(trial)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="name of the trial")
    parser.add_argument("--why", default="", help="what it should show")
    parser.add_argument("--mixture", default="default")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seed", type=int, default=42, help="seed of the rows")
    parser.add_argument("--data", nargs="*", default=[], help="files to use besides the made rows")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--config", default="{}", help="settings that differ from the recipe, as JSON")
    parser.add_argument("--model")
    parser.add_argument("--trained", help="score this model, which was trained elsewhere with these rows and settings")
    parser.add_argument("--limit", type=int, default=200, help="longest reply in tokens")
    parser.add_argument("--plan", help="file with a trial on each line")
    parser.add_argument("--jobs", type=int, default=1, help="trials of the plan that run in parallel")
    parser.add_argument("--toolcall", default=ROOT / "target/release/toolcall")
    parser.add_argument("--lists", default=ROOT / "data/lists")
    parser.add_argument("--folder", default=ROOT / "out/trials", help="folder for rows, models and reports")
    parser.add_argument("--log", default=LOG)
    parser.add_argument("--found", help="add this sentence to the last line of the log and do nothing else")
    parser.add_argument("--table", action="store_true", help="print the log and do nothing else")
    arguments = parser.parse_args()
    if not (arguments.table or arguments.found or arguments.plan or arguments.name):
        parser.error("give the trial a name")
    return arguments


def digest(paths: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def count(path: Path) -> int:
    """Number of rows of a file that `toolcall data` or `augment` wrote."""
    return len(json.loads(path.read_text())["messages"])


def processor() -> str:
    try:
        found = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True)
        return found.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.split(":", 1)[1].strip()
    return "unknown"


def line(scores: dict) -> str:
    """Exact calls, over-calls and finished dialogues of each set, in one line."""
    parts = []
    for name, counts in scores.items():
        if name.startswith("bfcl"):
            parts.append(f"{name} {json.dumps(counts)}")
            continue
        columns = ["tool_selection", "arguments_exact", "over_calls", "conversation_flow"]
        parts.append(f"{name} " + "/".join(str(counts[column]["count"]) for column in columns))
    return "; ".join(parts)


def note(log: str, found: str) -> int:
    """Adds the result in words to the last trial."""
    *lines, last = Path(log).read_text().splitlines()
    lines.append(json.dumps(json.loads(last) | {"found": found}))
    Path(log).write_text("".join(f"{text}\n" for text in lines))
    return 0


def table(log: str) -> str:
    def cell(score: dict | None) -> str:
        return "{count}/{total}".format(**score) if score else ""

    columns = ["tool_selection", "arguments_exact", "over_calls", "conversation_flow"]
    sets = ["timers", "varied", "customers"]
    scored = [f"{name}: {column}" for name in sets for column in columns]
    head = ["trial", "minutes", *scored, "what it should show", "what came out"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for text in Path(log).read_text().splitlines():
        entry = json.loads(text)
        found = [cell(entry["scores"].get(name, {}).get(column)) for name in sets for column in columns]
        words = [entry["why"], entry["failed"] or entry.get("found", "")]
        lines.append("| " + " | ".join([entry["name"], str(entry["minutes"]), *found, *words]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
