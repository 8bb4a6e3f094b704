"""Asks a server for the assistant turns of some rows with the official openai package, and compares the scores with those of
`toolcall eval --constrained --json`.

usage: serve_scores.py URL DATA EVALUATION.json [--rows N]

It asks as `toolcall eval` does: before each turn are the row's own messages, and a wrong turn ends the row.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import OpenAI
from scoring import Scores, Turn, calls_of, read_rows, truths, wire

AT_ONCE = 32
MOST_TOKENS = 256  # as `toolcall eval`


def main():
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("data", type=Path)
    options.add_argument("evaluation", type=Path)
    options.add_argument("--rows", type=int)
    arguments = options.parse_args()
    evaluation = json.loads(arguments.evaluation.read_text())
    rows = read_rows(arguments.data)[: arguments.rows]
    assert len(rows) == evaluation["rows"], f"{len(rows)} rows here, {evaluation['rows']} in {arguments.evaluation}"
    client = OpenAI(base_url=arguments.url, api_key="none", timeout=600, max_retries=0)
    model = client.models.list().data[0].id
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = list(threads.map(lambda row: follow(client, model, row), rows))
    scores = Scores()
    for number, (row, turns) in enumerate(zip(rows, asked, strict=True)):
        scores.add(number, turns, [calls_of(row["messages"][i]) for i in truths(row["messages"])])
    sys.exit(report(scores, evaluation))


def follow(client: OpenAI, model: str, row: dict) -> list[Turn]:
    """The model's turns up to the first wrong one."""
    turns = []
    for place in truths(row["messages"]):
        turns.append(ask(client, model, row, row["messages"][:place]))
        if turns[-1].mistake(calls_of(row["messages"][place])):
            break
    return turns


def ask(client: OpenAI, model: str, row: dict, messages: list[dict]) -> Turn:
    extra = {"repetition_penalty": 1.0, "chat_template_kwargs": row.get("chat_template_kwargs") or {}}
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    settings = {"temperature": 0, "max_tokens": MOST_TOKENS, "extra_body": extra}
    reply = client.chat.completions.create(model=model, messages=wire(messages), **tools, **settings)
    choice = reply.choices[0]
    called = choice.message.tool_calls or []
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in called]
    return Turn(choice.message.content or "", calls, choice.finish_reason != "length")


def report(scores: Scores, evaluation: dict) -> int:
    """Prints both; 1 if they differ."""
    same = True
    print(f"{'':<20}{'server':>12}{'eval':>12}")
    for name, ours in scores.counts.items():
        theirs = evaluation["counts"][name]
        texts = [f"{counts['count']} of {counts['total']}" for counts in (ours, theirs)]
        same &= texts[0] == texts[1]
        print(f"{name:<20}{texts[0]:>12}{texts[1]:>12}{'' if texts[0] == texts[1] else '   DIFFERENT'}")
    kinds = [{(m["row"], m["turn"]): m["kind"] for m in of} for of in (scores.mistakes, evaluation["mistakes"])]
    for row, turn in sorted(kinds[0].keys() ^ kinds[1].keys()):
        same = False
        told = [kind.get((row, turn), "another turn, or nothing") for kind in kinds]
        print(f"row {row}, turn {turn}: wrong on the server: {told[0]}; in eval: {told[1]}")
    return 0 if same else 1


if __name__ == "__main__":
    main()
