"""Checks that a module of toolcall_lib uses only modules above it in lib.rs, the order of the data, and that no files of
a folder use each other in a circle.

usage: python3 scripts/dev/lint_modules.py [FOLDER]     default: toolcall_lib/src
"""

import re
import sys
from pathlib import Path

import circles

SOURCES = Path(__file__).resolve().parent.parent.parent / "toolcall_lib" / "src"
FREE = {"error", "interrupt"}  # whom everybody may use
ORCHESTRATORS = {"train", "evaluate", "show"}  # who may use everybody
CIRCLES = {  # folders whose circles are right as they are, and why
    "generate/constraint/schema": "a schema holds schemas: the writer calls that of each type, and that calls it back",
}


def names(paths):
    """The first names of a list such as `model::Model, tokens::{Tokens, IGNORED}, Result`."""
    while "{" in paths:
        paths, before = re.sub(r"\{[^{}]*\}", "", paths), paths
        if paths == before:
            break
    return [path.split("::")[0].strip() for path in paths.split(",")]


def used(code):
    """(line, name) of everything that code takes from `crate::`."""
    for found in re.finditer(r"\bcrate::(\w+|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})", code):
        line = code.count("\n", 0, found.start()) + 1
        inner = found[1].removeprefix("{").removesuffix("}") if found[1].startswith("{") else found[1]
        for name in names(inner):
            yield line, name


def product_code(text):
    """The code without comments and without the tests at its end, which may use every module."""
    return re.sub(r"//[^\n]*", "", re.split(r"^#\[cfg\(test\)\]\s*mod ", text, flags=re.M)[0])


def problems(folder):
    library = product_code((folder / "lib.rs").read_text())
    order = re.findall(r"^(?:pub )?mod (\w+);", library, re.M)
    owner = {module: module for module in order}
    for module, exported in re.findall(r"^pub use (\w+)::([^;]+);", library, re.M):
        owner |= {name: module for name in names(exported.strip("{}")) if module in order}
    for path in sorted(folder.rglob("*.rs")):
        module = path.relative_to(folder).with_suffix("").parts[0]
        if module not in order or module in ORCHESTRATORS or path.stem == "tests":
            continue
        for line, name in used(product_code(path.read_text())):
            target = owner.get(name, module)
            if target not in FREE and order.index(target) > order.index(module):
                yield f"{path}:{line}: `{module}` is above `{target}` in lib.rs and must not use it"


def roots(folder):
    """(file, folder) of the library and of each program."""
    yield folder / "lib.rs", folder
    yield from ((file, file.parent) for file in sorted(folder.glob("bin/*/main.rs")))


def circle_problems(folder):
    for root, below in roots(folder):
        for path, arrows in sorted(circles.Crate(root, below).folders().items()):
            place = below.joinpath(*path)
            if place.relative_to(folder).as_posix() in CIRCLES:
                continue
            for circle in circles.circles(arrows):
                said = [f"{a} → {b} ({uses[0]})" for (a, b), uses in sorted(arrows.items()) if {a, b} <= {*circle}]
                yield f"{place}: {', '.join(circle)} use each other in a circle: {', '.join(said)}"


def main(folder=SOURCES):
    found = [*problems(Path(folder)), *circle_problems(Path(folder))]
    print("\n".join(found) or "the modules are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
