"""Writes the first rows of a data file as our library tokenizes them: the token ids that five_steps.py trains on.

    python scripts/dev/verify/rows.py --model M.gguf --data data/tool_augmented_dataset.json --loss all --out OUT

The output is `{"rows": [[{"ids": [...], "trained": [...]}, ...], ...]}`.
"""

import json
from pathlib import Path

from reference import inspect, parser


def main():
    options = parser(__doc__)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--loss", choices=["all", "assistant", "last", "completion"], required=True)
    options.add_argument("--count", type=int, default=40)
    options.add_argument("--out", type=Path, required=True)
    arguments = options.parse_args()
    rows = inspect(arguments.model, arguments.data, "--loss", arguments.loss)[: arguments.count]
    rows = [row["sequences"] for row in rows]
    arguments.out.write_text(json.dumps({"rows": rows}) + "\n")


if __name__ == "__main__":
    main()
