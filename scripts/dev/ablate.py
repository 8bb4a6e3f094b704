#!/usr/bin/env python3
"""Trains with other data or settings, scores the model on the held-out rows, and adds a line to the log of experiments.

    scripts/dev/ablate.py more-timers --why "timers are off by one carry" --mixture default --rows 4000 --config '{"learning_rate": 3e-4}'

Every trial stays in toolcall_lib/docs/experiments.jsonl, failures too: what was tried, why, and what came out.
`--table` prints the log as a Markdown table.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = ROOT / "toolcall_lib/docs/experiments.jsonl"
HELD_OUT = {"timers": "tool_heldout", "varied": "varied_heldout", "customers": "customer_heldout"}
FRESH = {f"fresh {name}": f"fresh/{name}" for name in HELD_OUT}


def main() -> int:
    arguments = parse()
    if arguments.table:
        print(table())
        return 0
    if arguments.found:
        return note(arguments.found)
    toolcall = Path(arguments.toolcall)
    folder = ROOT / "out/trials" / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    data = [make_data(arguments, toolcall, folder)] + [Path(path) for path in arguments.data]
    settings = folder / "config.json"
    settings.write_text(arguments.config)
    tuned = Path(arguments.trained or folder / "model")
    train = [toolcall, "train", "--recipe", arguments.recipe, "--config", settings]
    train += ["--data", *data, "--out", folder / "model"]
    start = time.monotonic()
    failed, log = 0, []
    if not arguments.trained:
        with open(folder / "train.log", "w") as file:
            failed = subprocess.run([*train, *model(arguments)], stdout=file, stderr=subprocess.STDOUT).returncode
        log = (folder / "train.log").read_text().splitlines()
    seconds = round(time.monotonic() - start)
    entry = {
        "name": arguments.name,
        "why": arguments.why,
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "mixture": arguments.mixture,
        "rows": arguments.rows,
        "data_seed": arguments.seed,
        "data": digest(data),
        "recipe": arguments.recipe,
        "config": json.loads(arguments.config),
        "minutes": None if arguments.trained else round(seconds / 60, 1),
        "failed": log[-1] if failed and log else None,
        "scores": {} if failed else scores(toolcall, tuned, folder, arguments.limit),
    }
    with open(LOG, "a") as file:
        file.write(json.dumps(entry) + "\n")
    print(json.dumps(entry, indent=1))
    return failed


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="name of the trial")
    parser.add_argument("--why", default="", help="what it should show")
    parser.add_argument("--mixture", default="default")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seed", type=int, default=42, help="seed of the rows")
    parser.add_argument("--data", nargs="*", default=[], help="files beside the rows that are made")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--config", default="{}", help="settings that differ from the recipe, as JSON")
    parser.add_argument("--model")
    parser.add_argument("--trained", help="score this model, which these rows and settings have made elsewhere")
    parser.add_argument("--limit", type=int, default=200, help="longest reply in tokens")
    parser.add_argument("--toolcall", default=ROOT / "target/release/toolcall")
    parser.add_argument("--found", help="add this sentence to the last line of the log and do nothing else")
    parser.add_argument("--table", action="store_true", help="print the log and do nothing else")
    arguments = parser.parse_args()
    if not (arguments.table or arguments.found or arguments.name):
        parser.error("give the trial a name")
    return arguments


def model(arguments: argparse.Namespace) -> list[str]:
    return ["--model", arguments.model] if arguments.model else []


def make_data(arguments: argparse.Namespace, toolcall: Path, folder: Path) -> Path:
    rows = ["--rows", str(arguments.rows)] if arguments.rows else []
    path = folder / "data.json"
    command = [toolcall, "data", "--mixture", arguments.mixture, "--seed", str(arguments.seed), "--out", path, *rows]
    subprocess.run([*command, "--lists", ROOT / "data/lists", "--force"], check=True)
    return path


def digest(paths: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def scores(toolcall: Path, tuned: Path, folder: Path, limit: int) -> dict:
    found = {}
    for name, file in (HELD_OUT | FRESH).items():
        rows = ROOT / f"data/{file}.json"
        command = [toolcall, "eval", "--model", tuned, "--data", rows, "--max-new-tokens", str(limit), "--json"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        (folder / f"{name}.json").write_text(result.stdout)
        found[name] = json.loads(result.stdout)["counts"]
    return found


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def note(found: str) -> int:
    """Adds to the last trial what came out, in words."""
    *lines, last = LOG.read_text().splitlines()
    lines.append(json.dumps(json.loads(last) | {"found": found}))
    LOG.write_text("".join(f"{line}\n" for line in lines))
    return 0


def table() -> str:
    def cell(score: dict | None) -> str:
        return "{count}/{total}".format(**score) if score else ""

    columns = ["tool_selection", "arguments_exact", "over_calls", "conversation_flow"]
    scored = [f"{name}: {column}" for name in HELD_OUT for column in columns]
    head = ["trial", "minutes", *scored, "what it should show", "what came out"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in LOG.read_text().splitlines():
        entry = json.loads(line)
        found = [cell(entry["scores"].get(name, {}).get(column)) for name in HELD_OUT for column in columns]
        words = [entry["why"], entry["failed"] or entry.get("found", "")]
        lines.append("| " + " | ".join([entry["name"], str(entry["minutes"]), *found, *words]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
