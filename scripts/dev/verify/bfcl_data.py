"""Checks that nothing of BFCL is in data files: no tool of its rows, no sentence of their users.

usage: python3 scripts/dev/verify/bfcl_data.py WHEEL FILE...

WHEEL is the wheel of bfcl-eval, FILE is in any form that `toolcall train` reads. Descriptions and
sentences are the same if only case, spaces and punctuation differ. Likely coincidences do not
count and are only mentioned: a sentence of fewer than five words ("Hello!"), and a name such as
`send_message` with another description.
"""

import json
import re
import sys
import zipfile
from pathlib import Path

LEAST_WORDS = 5


def plain(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def objects(value):
    """All objects in a JSON value, including those in strings of JSON."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def documents(text):
    """The JSON values of a file: one, or one per line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def contents(text):
    """(kind, text as it is compared, original text) of all tools and users' sentences."""
    for item in (item for document in documents(text) for item in objects(document)):
        name, description = item.get("name"), item.get("description")
        if isinstance(name, str) and isinstance(description, str) and "role" not in item:
            yield "name", name, name
            yield "description", plain(description), description
        if (item.get("role") or item.get("from")) in ("user", "human"):
            said = item.get("content") or item.get("value") or ""
            parts = [said] if isinstance(said, str) else [part.get("text", "") for part in said]
            yield from (("sentence", plain(part), part) for part in parts)


def known(wheel):
    """The first file of the wheel in which each thing is."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if re.fullmatch(r"bfcl_eval/data/.*\.json", name):
                for kind, text, _ in contents(archive.read(name).decode()):
                    found.setdefault((kind, text), Path(name).name)
    return found


def matches(wheel, files):
    """(a line about it, whether it matters) for everything that is in both."""
    there = known(wheel)
    for file in files:
        for kind, text, as_it_stands in dict.fromkeys(contents(Path(file).read_text())):
            if text and (kind, text) in there:
                matters = kind != "name" and len(text.split()) >= LEAST_WORDS
                yield f"{file}: the {kind} `{as_it_stands}` is in {there[kind, text]}", matters


def main(wheel, *files):
    found = list(matches(wheel, files))
    problems = [line for line, matters in found if matters]
    for line, matters in found:
        print(line if matters else f"(of no weight) {line}")
    if not problems:
        print(f"nothing of BFCL is in {len(files)} files")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
