"""Compares our verdicts on BFCL's rows with those of its own checker, which runs unchanged from
the package bfcl-eval.

usage: bfcl.py replies SCORES.json      the calls that a model made: the output of `toolcall eval
                                        --bfcl CATEGORY… --json`
       bfcl.py made CHECK DATA [SEED]   generated calls, right ones and spoilt ones; CHECK is
                                        the example `bfcl_check`, DATA its argument
"""

import json
import random
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

# The file with the settings of all models imports the client library of each vendor. The checker
# asks it only whether dots in names are written as underscores. Ours keep their dots.
settings = types.ModuleType("bfcl_eval.constants.model_config")
settings.MODEL_CONFIG_MAPPING = {"toolcall": types.SimpleNamespace(underscore_to_dot=False)}
sys.modules[settings.__name__] = settings

import bfcl_eval
from bfcl_eval.constants.enums import Language
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
from bfcl_eval.utils import is_empty_output, is_function_calling_format_output

FILES = Path(bfcl_eval.__file__).parent / "data"
CATEGORIES = """simple_python multiple parallel parallel_multiple irrelevance live_simple
    live_multiple live_parallel live_parallel_multiple live_irrelevance live_relevance""".split()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


class Category:
    """The rows of a category and their answers, as the leaderboard has them."""

    def __init__(self, name):
        self.name = name
        self.rows = lines(FILES / f"BFCL_v4_{name}.json")
        answers = FILES / "possible_answer" / f"BFCL_v4_{name}.json"
        self.answers = [row["ground_truth"] for row in lines(answers)] if answers.exists() else None

    def verdict(self, index, calls):
        """Whether decoded calls are right according to `eval_runner`, and whether that raised an error."""
        decoded = [{call["name"]: call["arguments"]} for call in calls]
        if self.answers is None:
            calls_something = not is_empty_output(decoded)
            return calls_something != ("irrelevance" in self.name), False
        if not is_function_calling_format_output(decoded):
            return False, False
        functions = self.rows[index]["function"]
        try:
            outcome = ast_checker(
                functions, decoded, self.answers[index], Language.PYTHON, self.name, "toolcall"
            )
        except (
            Exception
        ):  # ends a run of the leaderboard, so it does not count as right
            return False, True
        return outcome["valid"], False


class Tally:
    """Counts how often both agree, and keeps the first rows on which they do not."""

    def __init__(self):
        self.counts, self.differences = Counter(), []

    def add(self, category, index, calls, ours, problem):
        theirs, raised = category.verdict(index, calls)
        self.counts[category.name, theirs, raised] += 1
        if ours != theirs:
            self.differences.append((category.rows[index]["id"], calls, ours, theirs, problem))

    def report(self):
        for name in dict.fromkeys(name for name, _, _ in self.counts):
            kinds = [(True, False), (False, False), (False, True)]
            right, wrong, raised = (self.counts[name, *kind] for kind in kinds)
            print(
                f"  {name:<24} {right:>7} right {wrong:>7} wrong {raised:>6} exceptions in its checker"
            )
        for id, calls, ours, theirs, problem in self.differences[:20]:
            print(f"  {id}: ours {ours}, theirs {theirs}; {problem}\n    {json.dumps(calls)}")
        total = sum(self.counts.values())
        print(f"  {total - len(self.differences)} of {total} verdicts are the same")
        return not self.differences and total > 0


def replies(scores):
    tally = Tally()
    for part in json.loads(Path(scores).read_text()):
        category = Category(part["category"])
        for index, verdict in enumerate(part["verdicts"]):
            assert verdict["id"] == category.rows[index]["id"], "the rows are in another order"
            tally.add(category, index, verdict["calls"], verdict["right"], verdict["problem"])
    return tally.report()


def made(check, data, seed=1):
    tally, cases = Tally(), []
    for name in CATEGORIES:
        category, chance = Category(name), random.Random(f"{seed} {name}")
        for index in range(len(category.rows)):
            cases += [(category, index, calls) for calls in variants(category, index, chance)]
    asked = "".join(
        json.dumps({"category": category.name, "row": index, "calls": calls}) + "\n"
        for category, index, calls in cases
    )
    answer = subprocess.run([check, data], input=asked, capture_output=True, text=True)
    if answer.returncode != 0:
        sys.exit(answer.stderr)
    for (category, index, calls), problem in zip(
        cases, map(json.loads, answer.stdout.splitlines()), strict=True
    ):
        tally.add(category, index, calls, problem is None, problem)
    return tally.report()


# Calls, right and spoilt.


def variants(category, index, chance):
    functions = category.rows[index]["function"]
    yield []
    for function in functions[:2]:
        yield [{"name": function["name"], "arguments": {}}]
    if category.answers is None:
        return
    answer = category.answers[index]
    for _ in range(4):
        yield right(answer, chance)
    calls = right(answer, chance)
    yield calls[::-1]
    yield chance.sample(calls, len(calls))
    yield calls + calls[:1]
    yield calls[:-1]
    yield [{**call, "name": call["name"] + "_"} for call in calls]
    yield [{**call, "name": call["name"].replace(".", "_")} for call in calls]
    for spoil in SPOILT:
        for _ in range(2):
            calls = right(answer, chance)
            spoil(chance.choice(calls)["arguments"], answer, chance)
            yield calls


def right(answer, chance):
    """Calls with a right value for each argument; optional arguments are sometimes left out."""
    calls = []
    for entry in answer:
        ((name, arguments),) = entry.items()
        chosen = {key: value(values, chance) for key, values in arguments.items()}
        kept = {
            key: found for key, found in chosen.items() if found != "" or "" not in arguments[key]
        }
        calls.append({"name": name, "arguments": json.loads(json.dumps(kept))})
    return calls


def value(values, chance):
    chosen = chance.choice(values) if values else ""
    return fields(chosen, chance)


def fields(chosen, chance):
    """Replaces an object whose fields have lists of right values by one with values."""
    if isinstance(chosen, dict):
        found = {
            key: value(values, chance) if isinstance(values, list) else values
            for key, values in chosen.items()
        }
        return {key: item for key, item in found.items() if item != ""}
    if isinstance(chosen, list):
        return [fields(item, chance) for item in chosen]
    return chosen


def one(arguments, chance):
    return chance.choice(list(arguments)) if arguments else None


def leave_out(arguments, _, chance):
    arguments.pop(one(arguments, chance), None)


def add(arguments, _, chance):
    arguments[chance.choice(["extra", "unit", "name"])] = chance.choice([1, "x", None])


def retype(arguments, _, chance):
    if key := one(arguments, chance):
        arguments[key] = other_type(arguments[key], chance)


def revalue(arguments, _, chance):
    if key := one(arguments, chance):
        arguments[key] = other_value(arguments[key], chance)


def respell(arguments, _, chance):
    for key, found in arguments.items():
        arguments[key] = spelled(found, chance)


def within(arguments, _, chance):
    """Spoils something inside a list or an object."""
    nested = [key for key, found in arguments.items() if isinstance(found, (list, dict)) and found]
    if nested:
        deep(arguments[chance.choice(nested)], chance)


def borrow(arguments, answer, chance):
    """A right value of another argument."""
    if key := one(arguments, chance):
        ((_, others),) = chance.choice(answer).items()
        if others:
            arguments[key] = json.loads(
                json.dumps(value(chance.choice(list(others.values())), chance))
            )


def blank(arguments, _, chance):
    if key := one(arguments, chance):
        arguments[key] = chance.choice(["", [], {}, None, 0, False, 0.0, [""], [{}], [[]]])


def raw(arguments, answer, chance):
    """A right value as it is in the answers: an object with lists of right values in it."""
    ((_, right_ones),) = chance.choice(answer).items()
    for key in arguments:
        if right_ones.get(key):
            arguments[key] = json.loads(json.dumps(chance.choice(right_ones[key])))


SPOILT = [leave_out, add, retype, revalue, respell, within, within, borrow, blank, raw]


def other_type(found, chance):
    choices = [str(found), [found], {"value": found}, None]
    if isinstance(found, bool):
        choices += [int(found), float(found)]
    elif isinstance(found, int):
        choices += [float(found), bool(found)]
    elif isinstance(found, float):
        choices += [int(found), round(found)]
    elif isinstance(found, str):
        choices += [int(found)] if found.isdigit() else [len(found), True]
    elif isinstance(found, list):
        choices += [found[0] if found else 0, {str(i): item for i, item in enumerate(found)}]
    elif isinstance(found, dict):
        choices += [list(found.values()), [found]]
    return chance.choice(choices)


def other_value(found, chance):
    if isinstance(found, bool):
        return not found
    if isinstance(found, (int, float)):
        return chance.choice([found + 1, -found, found * 10, found + type(found)(1)])
    if isinstance(found, str):
        return chance.choice(
            [found + "x", found[::-1], found[:-1], "", found + "é", " " + found + " "]
        )
    if isinstance(found, list):
        return chance.choice(
            [found[::-1], found[:-1], found + found[-1:], sorted(found, key=str), []]
        )
    if isinstance(found, dict):
        return chance.choice(
            [
                {},
                {**found, "extra": 1},
                dict(list(found.items())[1:]),
                dict(reversed(found.items())),
            ]
        )
    return found


def spelled(found, chance):
    if isinstance(found, str):
        replaced = [
            found.replace(*pair)
            for pair in [(" ", ""), (" ", "_"), (",", ""), ("'", '"'), ("-", "/")]
        ]
        cased = [found.upper(), found.lower(), found.title()]
        return chance.choice([*cased, *replaced, found + ".", "*" + found])
    if isinstance(found, list):
        return [spelled(item, chance) for item in found]
    if isinstance(found, dict):
        return {key: spelled(item, chance) for key, item in found.items()}
    return found


def deep(container, chance):
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    key = chance.choice(keys)
    if isinstance(container[key], (list, dict)) and container[key] and chance.random() < 0.6:
        return deep(container[key], chance)
    change = chance.choice([other_type, other_value, spelled, None])
    if change:
        container[key] = change(container[key], chance)
    else:
        del container[key]


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or [""]
    if command not in ("replies", "made"):
        sys.exit(__doc__)
    sys.exit(0 if {"replies": replies, "made": made}[command](*rest) else 1)
