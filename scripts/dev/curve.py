#!/usr/bin/env python3
"""Draws exact calls against the number of rows that were read once, from the log of experiments.

    scripts/dev/curve.py toolcall_lib/docs/curve.svg

It draws the trials with `"curve": true`: the default mixture, with one to eight times its rows of other tools. Held-out and fresh rows
count together; a point is the mean of the trials with the same number of rows, a bar their range.
"""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

LOG = Path(__file__).resolve().parents[2] / "toolcall_lib/docs/experiments.jsonl"
SERIES = {"timers": ("#1b7f5c", "timer and reminder"), "varied": ("#2f5fb3", "other tools"), "customers": ("#b3541e", "a customer service, unseen")}
ROWS_A_MINUTE = 112  # two cores of a Xeon without AMX: 4,110 rows in 36.6 minutes
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 56, 196, 24, 62


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    Path(sys.argv[1]).write_text(picture(shares()))
    return 0


def shares() -> dict[str, dict[int, list[float]]]:
    """The share of exact calls of each trial, by set and number of rows."""
    found: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in SERIES}
    for line in LOG.read_text().splitlines():
        trial = json.loads(line)
        if not trial.get("curve"):
            continue
        for name in SERIES:
            counts = [trial["scores"][scored]["arguments_exact"] for scored in (name, f"fresh {name}")]
            share = sum(count["count"] for count in counts) / sum(count["total"] for count in counts)
            found[name][trial["rows"]].append(100 * share)
    return found


def picture(found: dict[str, dict[int, list[float]]]) -> str:
    ticks = sorted({rows for points in found.values() for rows in points})
    low, high = math.log(ticks[0] * 0.9), math.log(ticks[-1] * 1.1)

    def x(rows: int) -> float:
        return LEFT + (math.log(rows) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(percent: float) -> float:
        return HEIGHT - BOTTOM - percent / 100 * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT - 40, 15, "exact calls, %"),
    ]
    for percent in range(0, 101, 20):
        parts.append(f'<path d="M{LEFT} {y(percent):.0f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y(percent) + 4, str(percent), "end"))
    for rows in ticks:
        parts.append(text(x(rows), HEIGHT - BOTTOM + 18, f"{rows:,}", "middle"))
        parts.append(text(x(rows), HEIGHT - BOTTOM + 36, f"{rows / ROWS_A_MINUTE:.0f} min", "middle", "#777"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(text(middle, HEIGHT - 8, "rows, each read once; minutes on two cores of a Xeon", "middle", "#777"))
    for name, (color, title) in SERIES.items():
        points = sorted((rows, shares) for rows, shares in found[name].items())
        means = [(x(rows), y(sum(shares) / len(shares))) for rows, shares in points]
        for (at, _), (_, shares) in zip(means, points, strict=True):
            parts.append(f'<path d="M{at:.1f} {y(min(shares)):.1f}V{y(max(shares)):.1f}" stroke="{color}" stroke-opacity=".4" stroke-width="5"/>')
        line = " ".join(f"{at:.1f},{height:.1f}" for at, height in means)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{at:.1f}" cy="{height:.1f}" r="3.5" fill="{color}"/>' for at, height in means]
        parts.append(text(means[-1][0] + 12, means[-1][1] + 4, title, "start", color))
    return "\n".join([*parts, "</svg>\n"])


def text(x: float, y: float, words: str, anchor: str = "start", color: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'


if __name__ == "__main__":
    sys.exit(main())
