"""Checks that the comments of toolcall_lib are short lines that open with a verb or a noun.

usage: python3 scripts/dev/lint_comments.py [FOLDER]     default: toolcall_lib

The rules and their reasons are in RULES. Needs nothing but Python.
"""

import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent.parent / "toolcall_lib"
ENDINGS = {".rs", ".cu", ".cuh"}
LONGEST = 100
RULES = {
    "long": f"a comment line has at most {LONGEST} columns, tables and code in ``` fences aside",
    "opening": "open with what it is or does: a verb (`Returns …`, `Checks …`) or a noun (`Number of …`, `True if …`)",
}
COMMENT = re.compile(r"\s*//[/!]?(?: (?P<text>.*))?$")
HEADING = re.compile(r"\s*//[/!] # ")  # the next line begins a paragraph
INDIRECT = re.compile(r"(?:What|Which|Has|Those|Of|Whether|So many|Who|How|As|Where|That|To)\b")
OF_TOOLS = {"Where.", "How long,"}  # descriptions of arguments that tests compare with schemas


def problems(text):
    """(line, rule) of everything that is wrong with the comments of a source."""
    comment = fence = False
    for number, line in enumerate(text.split("\n"), 1):
        found = COMMENT.match(line)
        is_first, comment = found and not comment, found and not HEADING.match(line)
        if not found or line.endswith("\\"):  # a line of a string literal is not a comment
            fence = fence and comment
            continue
        fence = fence and not is_first
        words = (found["text"] or "").strip()
        if words.startswith("```"):
            fence = not fence
        elif len(line) > LONGEST and not fence and not words.startswith("|"):
            yield number, "long"
        if is_first and INDIRECT.match(words) and words not in OF_TOOLS:
            yield number, "opening"


def main(folder=SOURCES):
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix in ENDINGS)
    found = [f"{path}:{line}: {rule}: {RULES[rule]}" for path in files for line, rule in problems(path.read_text())]
    print("\n".join(found) or "the comments are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
