"""Compares our check of arguments with the verdicts of the JSON Schema Test Suite, which the source package of
`jsonschema` for Python ships.

usage: schemas.py CHECK PACKAGE     CHECK is the example `schema_check`, PACKAGE the file jsonschema-VERSION.tar.gz

Each schema of the suite becomes that of an argument, and each instance its value. Prints for every keyword how many
cases we judge as the suite does, where we are stricter on purpose, and which schemas we refuse by name. Ends with an
error if we accept a value that the suite refuses, or refuse a value or a schema for a reason that is not listed here.
"""

import json
import subprocess
import sys
import tarfile
from collections import Counter, defaultdict

# Keywords of older drafts that mean what they meant, by the files that test them.
OLDER = {"draft4": ["maximum", "minimum"], "draft7": ["additionalItems", "dependencies", "items"]}
# Files about what a tool's schema cannot have: other documents, other dialects.
ELSEWHERE = {"dynamicRef", "refRemote", "vocabulary"}
# Rules for calls that go beyond the suite: parts of our problems.
STRICTER = {
    "is unknown; the schema has": "an object with `properties` is closed",
    " items, got ": "a tuple has its exact length",
    "expected integer, got number": "5.0 is not an integer",
}
# Why a schema is refused: parts of our messages.
REFUSED = {"is not a place in this schema; others are not fetched": "a reference by `$id`, by `$anchor` or to another document"}
QUOTED = ("enum", "const", "default", "examples")  # their values are not schemas


def embedded(schema):
    """The schema as that of the argument `x`, with references from its own root."""
    if isinstance(schema, list):
        return [embedded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: value if key in QUOTED else embedded(value) for key, value in schema.items()}
    target = moved.get("$ref")
    if isinstance(target, str) and (target == "#" or target.startswith("#/")):
        moved["$ref"] = "#/properties/x" + target[1:]
    return moved


def cases(package):
    """(draft and keyword, description, schema, instance, verdict) of every case."""
    with tarfile.open(package) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            parts = member.name.split("/")
            if parts[1:3] != ["json", "tests"] or len(parts) != 5 or not member.name.endswith(".json"):
                continue
            draft, keyword = parts[3], parts[4].removesuffix(".json")
            if keyword not in OLDER.get(draft, []) and (draft != "draft2020-12" or keyword in ELSEWHERE):
                continue
            for group in json.load(archive.extractfile(member)):
                for test in group["tests"]:
                    description = f"{group['description']}: {test['description']}"
                    yield f"{draft} {keyword}", description, group["schema"], test["data"], test["valid"]


def verdicts(check, all_cases):
    lines = []
    for _, _, schema, data, _ in all_cases:
        parameters = {"type": "object", "properties": {"x": embedded(schema)}, "required": ["x"]}
        lines.append(json.dumps({"parameters": parameters, "arguments": {"x": data}}))
    made = subprocess.run([check], input="\n".join(lines), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in made.stdout.splitlines()]


def reason_of(message, reasons):
    """The reason whose part stands in the message; None if it has none of them."""
    return next((reason for part, reason in reasons.items() if part in message), None)


def why_stricter(problems):
    """The rules for calls that all of these problems follow; None if one follows another."""
    found = [reason_of(problem, STRICTER) for problem in problems]
    return None if None in found else sorted(set(found))


def main(check, package):
    all_cases = list(cases(package))
    counts, rules, refusals, wrong = defaultdict(Counter), Counter(), Counter(), []
    for (keyword, description, _, _, valid), verdict in zip(all_cases, verdicts(check, all_cases), strict=True):
        problems = verdict.get("problems")
        if problems is None and (reason := reason_of(verdict["refused"], REFUSED)):
            counts[keyword]["refused"] += 1
            refusals[reason] += 1
        elif problems is None:
            counts[keyword]["wrong"] += 1
            wrong.append(f"{keyword}: {description}: the schema is refused: {verdict['refused']}")
        elif valid == (not problems):
            counts[keyword]["same"] += 1
        elif valid and why_stricter(problems):
            counts[keyword]["stricter"] += 1
            rules.update(why_stricter(problems))
        else:
            counts[keyword]["wrong"] += 1
            wrong.append(f"{keyword}: {description}: {'refused' if valid else 'accepted'}: {problems}")
    print(f"{'':40}{'same':>8}{'stricter':>10}{'refused':>9}{'wrong':>7}")
    for keyword, count in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        print(f"{keyword:40}{count['same']:8}{count['stricter']:10}{count['refused']:9}{count['wrong']:7}")
    for title, reasons in [("stricter", rules), ("refused", refusals)]:
        for reason, count in reasons.most_common():
            print(f"{title}: {count} cases: {reason}")
    print(*wrong, sep="\n")
    sys.exit(len(wrong) > 0)


main(*sys.argv[1:])
