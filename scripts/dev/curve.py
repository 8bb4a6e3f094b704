#!/usr/bin/env python3
"""Draws exact calls against minutes of training, from the log of experiments.

    scripts/dev/curve.py toolcall_lib/docs/curve.svg

It draws the trials that have a `curve`, the label of their point. Held-out and fresh rows count together. A point is the mean of its
trials at the minutes of the fastest, a bar their range.
"""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

LOG = Path(__file__).resolve().parents[2] / "toolcall_lib/docs/experiments.jsonl"
SERIES = {"timers": ("#1b7f5c", "timer and reminder"), "varied": ("#2f5fb3", "other tools"), "customers": ("#b3541e", "a customer service, unseen")}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 56, 196, 24, 62


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    trials = [json.loads(line) for line in LOG.read_text().splitlines()]
    points = defaultdict(list)
    for trial in trials:
        if "curve" in trial:
            points[trial["curve"]].append(trial)
    by_minutes = sorted(points.items(), key=lambda point: minutes(point[1]))
    Path(sys.argv[1]).write_text(picture(by_minutes))
    return 0


def minutes(trials: list[dict]) -> float:
    """The minutes of the fastest trial: other work on the machine only adds to them."""
    return min(trial["minutes"] for trial in trials)


def share(trial: dict, name: str) -> float:
    """Exact calls in percent, held-out and fresh rows together."""
    counts = [trial["scores"][scored]["arguments_exact"] for scored in (name, f"fresh {name}")]
    return 100 * sum(count["count"] for count in counts) / sum(count["total"] for count in counts)


def picture(points: list[tuple[str, list[dict]]]) -> str:
    low, high = math.log(minutes(points[0][1]) * 0.85), math.log(minutes(points[-1][1]) * 1.15)

    def x(trials: list[dict]) -> float:
        return LEFT + (math.log(minutes(trials)) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

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
    for label, trials in points:
        parts.append(text(x(trials), HEIGHT - BOTTOM + 18, f"{minutes(trials):.0f} min", "middle"))
        parts.append(text(x(trials), HEIGHT - BOTTOM + 36, label, "middle", "#777"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(text(middle, HEIGHT - 8, "minutes on two cores of a Zen 5 EPYC; rows, each read once", "middle", "#777"))
    for name, (color, title) in SERIES.items():
        shares = [[share(trial, name) for trial in trials] for _, trials in points]
        means = [(x(trials), y(mean(found))) for (_, trials), found in zip(points, shares, strict=True)]
        for (at, _), found in zip(means, shares, strict=True):
            parts.append(f'<path d="M{at:.1f} {y(min(found)):.1f}V{y(max(found)):.1f}" stroke="{color}" stroke-opacity=".4" stroke-width="5"/>')
        line = " ".join(f"{at:.1f},{height:.1f}" for at, height in means)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{at:.1f}" cy="{height:.1f}" r="3.5" fill="{color}"/>' for at, height in means]
        parts.append(text(means[-1][0] + 12, means[-1][1] + 4, title, "start", color))
    return "\n".join([*parts, "</svg>\n"])


def text(x: float, y: float, words: str, anchor: str = "start", color: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{words}</text>'


if __name__ == "__main__":
    sys.exit(main())
