"""Chooses the rows of a comparison.

    python rows.py --data FILE ... --batch 8 --out rows.json        whole batches of all rows, so that every pass is the same
    python rows.py --data FILE ... --prompts 128 --out rows.json    rows with different beginnings, repeated if there are too few
    python rows.py --ids --out ids.json                             the ids of the prompts in the output of `toolcall inspect --json`
"""

import argparse
import itertools
import json
import sys
from pathlib import Path


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, nargs="+", default=[])
    options.add_argument("--batch", type=int)
    options.add_argument("--prompts", type=int)
    options.add_argument("--ids", action="store_true")
    options.add_argument("--out", type=Path, required=True)
    arguments = options.parse_args()
    if arguments.ids:
        chosen = [prompt_ids(json.loads(line)) for line in sys.stdin]
    else:
        rows = [row for file in arguments.data for row in read(file)]
        chosen = whole_batches(rows, arguments.batch) if arguments.batch else beginnings(rows, arguments.prompts)
    arguments.out.write_text(json.dumps(chosen, ensure_ascii=False))


def read(file: Path) -> list[dict]:
    content = json.loads(file.read_text())
    if isinstance(content, dict):
        return [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    return content


def whole_batches(rows: list[dict], batch: int) -> list[dict]:
    return rows[: len(rows) // batch * batch]


def beginnings(rows: list[dict], count: int) -> list[dict]:
    """Rows with different prompts before the first reply."""
    different = {}
    for row in rows:
        roles = [message["role"] for message in row["messages"]]
        before = row["messages"][: roles.index("assistant")]
        different.setdefault(json.dumps([before, row["tools"]]), row)
    return list(itertools.islice(itertools.cycle(different.values()), count))


def prompt_ids(described: dict) -> list[int]:
    first = described["sequences"][0]
    return first["ids"][: first["trained"].index(True)]


if __name__ == "__main__":
    main()
