"""Reads rows of a data file, and scores assistant turns by the rules of `toolcall eval` (see toolcall_lib/src/evaluate/).

A call is a pair: the name of a tool, and its arguments.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


def read_rows(file: Path) -> list[dict]:
    """Rows, columns or JSONL, with `messages` and `tools` as OpenAI writes them."""
    text = file.read_text()
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        data = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(data, dict):
        data = transposed(data)
    for number, row in enumerate(data):
        unknown = set(row) - {"messages", "tools", "chat_template_kwargs"}
        if unknown or "messages" not in row:
            sys.exit(f"error: {file}: row {number}: expected messages, tools and chat_template_kwargs, found {', '.join(row)}")
    return data


def transposed(columns: dict) -> list[dict]:
    """Columns as rows; `tools` may be one list for all of them. An object whose messages are not lists is a row itself."""
    if all(isinstance(message, dict) for message in columns.get("messages", [])):
        return [columns]
    count = len(columns["messages"])
    for name, column in columns.items():
        if name == "tools" and all(isinstance(tool, dict) for tool in column):
            columns[name] = [column] * count
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def truths(messages: list[dict]) -> list[int]:
    """The assistant turns that are the truth: those that are trained."""
    told = (i for i, message in enumerate(messages) if message["role"] == "assistant")
    return [i for i in told if messages[i].get("train", True) and messages[i].get("weight", 1)]


def wire(messages: list[dict]) -> list[dict]:
    """The messages of a row as OpenAI's API takes them: calls have ids and arguments as strings, and each
    answer names its call.
    """
    sent, waiting = [], []
    for message in messages:
        keys = ("role", "content", "name", "reasoning_content")
        kept = {key: message[key] for key in keys if message.get(key) is not None}
        calls = calls_of(message)
        if message["role"] == "assistant":
            waiting = [{"id": f"call_{len(sent)}_{i}", "name": name} for i, (name, _) in enumerate(calls)]
        if calls:
            texts = (json.dumps(arguments, ensure_ascii=False) for _, arguments in calls)
            kept["tool_calls"] = [
                {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": text}}
                for call, text in zip(waiting, texts, strict=True)
            ]
        if message["role"] == "tool":
            answered = next((call for call in waiting if call["name"] == message.get("name")), waiting[0])
            waiting = [call for call in waiting if call is not answered]
            kept |= {"tool_call_id": answered["id"], "name": answered["name"]}
        sent.append(kept)
    return sent


def calls_of(message: dict) -> list[tuple[str, dict]]:
    """The calls of a message of the data."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or []]
    given = ((call["name"], call["arguments"]) for call in calls)
    return [(name, json.loads(text) if isinstance(text, str) else text) for name, text in given]


@dataclass
class Turn:
    """An assistant turn of a model."""

    content: str
    calls: list[tuple[str, dict]]
    finished: bool

    def mistake(self, expected: list[tuple[str, dict]]) -> str | None:
        """The kind of its mistake, if any. It must make these calls; if there are none, it must answer in words."""
        if not self.finished:
            return "unfinished"
        if not expected:
            return "over_call" if self.calls else None if self.content.strip() else "empty"
        if not self.calls:
            return "no_call"
        if not same_names(expected, self.calls):
            return "wrong_tool"
        return None if same_calls(expected, self.calls) else "wrong_arguments"


@dataclass
class Scores:
    """The counts: how often a property held, and how often it could."""

    counts: dict[str, Counter] = field(default_factory=dict)
    mistakes: list[dict] = field(default_factory=list)

    def add(self, row: int, turns: list[Turn], expected: list[list[tuple[str, dict]]]):
        """Counts a row with the model's turns, of which only the last may be wrong, and the expected calls."""
        mistakes = [turn.mistake(calls) for turn, calls in zip(turns, expected, strict=False)]
        first, truth = turns[0], expected[0]
        if truth:
            self.count("tool_selection", first.finished and same_names(truth, first.calls))
            self.count("arguments_exact", mistakes[0] is None)
        else:
            self.count("over_calls", bool(first.calls))
        self.count("exact", mistakes[0] is None)
        self.count("conversation_flow", mistakes[-1] is None)
        for turn in turns:
            self.count("unfinished", not turn.finished)
        if mistakes[-1] is not None:
            self.mistakes.append({"row": row, "turn": len(turns) - 1, "kind": mistakes[-1]})

    def count(self, name: str, holds: bool):
        self.counts.setdefault(name, Counter(count=0, total=0)).update(count=int(holds), total=1)


def same_names(expected, got) -> bool:
    """The same tools in any order, each the same number of times."""
    return Counter(name for name, _ in expected) == Counter(name for name, _ in got)


def same_calls(expected, got) -> bool:
    """The same calls in any order, each once."""
    left = list(got)
    for name, arguments in expected:
        same = (i for i, call in enumerate(left) if call[0] == name and same_fields(arguments, call[1]))
        if (place := next(same, None)) is None:
            return False
        del left[place]
    return not left


def same_fields(expected: dict, got: dict) -> bool:
    """The same keys and values; null counts as left out."""
    expected, got = ({k: v for k, v in fields.items() if v is not None} for fields in (expected, got))
    return expected.keys() == got.keys() and all(same_value(value, got[key]) for key, value in expected.items())


def same_value(expected, got) -> bool:
    """Compares types strictly, except that an integer may stand for a float."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return same_fields(expected, got)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(same_value, expected, got))
    if isinstance(expected, float) and type(got) is int:
        return expected == got
    return type(expected) is type(got) and expected == got
