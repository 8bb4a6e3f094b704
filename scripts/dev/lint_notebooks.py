"""Checks that notebooks work on every machine and stay readable.

usage: python3 scripts/dev/lint_notebooks.py NOTEBOOK...

The rules and their reasons are in RULES. Needs nothing but Python.
"""

import json
import re
import sys
from pathlib import Path

KERNEL = "rust-toolcall"
LONGEST_CELL = 20
RULES = {
    "let": "a variable that outlives its cell needs `let name: Type = …`: evcxr infers types only where rust-src is installed",
    "doc": "put the attribute above the `///` lines: evcxr drops comments at the start of a cell",
    "impl": "put the type and its impls into one cell: a cell with an impl alone cannot be run twice",
    "long": f"a cell has at most {LONGEST_CELL} lines: longer code belongs in toolcall_lib",
    "unit": "end the cell with `;`: it shows `()`",
    "error": "the cell failed in the run that is committed",
    "stderr": "the cell wrote to stderr in the run that is committed",
    "run": "commit the notebook as scripts/run_notebook.sh --out writes it, all cells run in order",
    "path": "an output names a path of this machine",
    "kernel": f"the kernel must be {KERNEL}",
}
# Literals and comments, whose content is not code. A lifetime such as 'a is not the start of a literal.
NOT_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | r(?P<hashes>\#*)".*?"(?P=hashes) | "(?:\\.|[^"\\])*" | '(?:\\.[^']*|[^'\\])'""", re.X | re.S
)
ROOT = Path(__file__).resolve().parent.parent.parent
MACHINE_PATH = re.compile(rf"(?<![\w.:/<])(?:{re.escape(str(ROOT))}|/(?:home|root|Users|tmp|var|opt|mnt)/)[^\s\"'<]*")


def code_only(source):
    """The source with the content of literals and comments blanked; lines and columns stay."""
    return NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)


def top_level(code):
    """The code with everything inside brackets blanked: only the top level of the cell."""
    depth, kept = 0, []
    for character in code:
        depth -= character in ")]}"
        kept.append(character if depth <= 0 or character == "\n" else " ")
        depth += character in "([{"
    return "".join(kept)


def line_of(source, offset):
    return source.count("\n", 0, offset) + 1


def untyped_lets(source):
    """Lines of the `let`s of the cell itself whose pattern has no type. (`if let` keeps nothing.)"""
    code = top_level(code_only(source))
    for found in re.finditer(r"(?<!if )(?<!while )\blet\b([^=;]*)", code):
        if not re.search(r"(?<!:):(?!:)", found[1]):
            yield line_of(code, found.start())


def docs_above_attributes(source):
    """Lines of `///` that are followed by an attribute or begin the cell."""
    lines = [line.strip() for line in source.splitlines()]
    for number, line in enumerate(lines, start=1):
        following = next((later for later in lines[number:] if not later.startswith("///")), "")
        begins = not any(lines[: number - 1])
        if line.startswith("///") and (begins or following.startswith("#[")):
            yield number


def lonely_impls(source):
    """Lines of the impls of types that another cell defines."""
    code = code_only(source)
    for found in re.finditer(r"^impl\b(?:<[^{]*?>)?\s*(?:[^{]*?\bfor\s+)?(\w+)", code, re.M):
        if not re.search(rf"\b(?:struct|enum)\s+{found[1]}\b", code):
            yield line_of(code, found.start())


def texts(output):
    """Everything that an output shows."""
    for content in [output.get("text", ""), *output.get("data", {}).values(), *output.get("traceback", [])]:
        yield "".join(content) if isinstance(content, list) else str(content)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def machine_paths(notebook):
    """`cell N: /the/path` for each path of one machine in the outputs."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.get("outputs", []):
            for text in texts(output):
                for found in sorted(set(MACHINE_PATH.findall(text))):
                    yield f"cell {number}: {found}"


def source_problems(source):
    """(line, rule) for what is wrong with the source of a code cell."""
    for line in untyped_lets(source):
        yield line, "let"
    for line in docs_above_attributes(source):
        yield line, "doc"
    for line in lonely_impls(source):
        yield line, "impl"
    if len(source.strip().splitlines()) > LONGEST_CELL:
        yield LONGEST_CELL + 1, "long"


def output_problems(cell, number):
    """(line, rule) for what is wrong with the outputs of the `number`th code cell; the line is its last."""
    last = len("".join(cell["source"]).splitlines())
    if cell["execution_count"] != number:
        yield last, "run"
    for output in cell["outputs"]:
        shown = "".join(output.get("data", {}).get("text/plain", ""))
        if output["output_type"] == "error" or shown.startswith("Err("):
            yield last, "error"
        if output.get("name") == "stderr":
            yield last, "stderr"
        if shown == "()":
            yield last, "unit"


def problems(notebook):
    """`cell N, line L: what to do` for everything that is wrong."""
    if notebook["metadata"].get("kernelspec", {}).get("name") != KERNEL:
        yield RULES["kernel"]
    for number, cell in enumerate(code_cells(notebook), start=1):
        for line, rule in [*source_problems("".join(cell["source"])), *output_problems(cell, number)]:
            yield f"cell {number}, line {line}: {RULES[rule]}"
    for place in machine_paths(notebook):
        yield f"{place}: {RULES['path']}"


def main(paths):
    found = [f"{path}: {problem}" for path in paths for problem in problems(json.loads(Path(path).read_text()))]
    print("\n".join(found) or f"{len(paths)} notebooks are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
