"""Checks that the shell scripts use nothing that only bash 4 or GNU's programs have: macOS has neither.

usage: python3 scripts/dev/lint_shell.py [FILE ...]     default: every script that git knows

A script that says `Linux only` in a comment at its head may use anything. Every script must be one that `bash -n` reads.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What is looked for in code without comments, and what to write instead.
RULES = {
    r"(?<![\w.-])(flock|setsid|nproc|sha256sum|md5sum|timeout|tac|shuf|numfmt)\b(?!\()": "macOS has no `{}`; use Python",
    r"(?<![\w.-])realpath\b": "older macOS has no `{}`, and no macOS its options; use Python",
    r"\bfind\b[^|;]*\s(-printf|-regextype)\b": "find of macOS has no `{}`; use Python",
    r"\b(stat -c|stat --\w+|date -d|date --\w+|readlink -[fem]+|sed -i|grep -\w*P\w*|xargs -r|cp -\w*l\w*|mktemp -p|du -sb|sort -V)": "`{}` is GNU's; use Python",
    r"\b(?:cp|mv|rm|ln|mkdir|ls|cat|sort|head|tail|tee|cut|wc|du|sed|xargs|mktemp|touch|chmod|date|stat|basename|dirname)\s(?:[^|;&]*\s)?(--[a-z][\w-]*)": "`{}` is an option of GNU; use the short one",
    r"\bsed\b[^|;]*(\\[?+|])": "`{}` in a pattern of sed is GNU's; use sed -E",
    r"\b(mapfile|readarray|coproc)\b": "bash 3.2 has no `{}`",
    r"\b((?:declare|local|typeset) -\w*[Anlug]\w*|wait -n|shopt -s (?:globstar|lastpipe)|read -\w*[Ni]\w*)\b": "bash 3.2 has no `{}`",
    r"(\$\{\w+(?:\[[^]]*\])?(?:,,?|\^\^?|@[A-Za-z])[^}]*\})": "bash 3.2 has no `{}`",
    r"(&>>|\|&|\$'\\u|;;&|;&)": "bash 3.2 has no `{}`",
    r"(\$\{?(?:EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASHPID)\}?)": "bash 3.2 has no `{}`",
    r"(\$\{\w+\[-\d+\]\}|\$\{\w+:[^}]*:\s*-\d+\}|printf [^|;]*%\([^)]*\)T)": "bash 3.2 has no `{}`",
    r"(#!/bin/bash)": "write `#!/usr/bin/env bash`, not `{}`: people have a newer bash elsewhere",
}
EMPTY = re.compile(r"\b(\w+)=\((?:\)|\$\{\w+:\+)")


def code_of(line: str) -> str:
    """The line without a comment."""
    if line.startswith("#!"):
        return line
    return re.sub(r"(^|\s)#\s.*", "", line)


def is_linux_only(text: str) -> bool:
    head = re.match(r"(?:#.*\n)+", text)
    return bool(head and "Linux only" in head[0])


def problems(text: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong there) of a script."""
    if is_linux_only(text):
        return
    lines = [code_of(line) for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        for pattern, advice in RULES.items():
            for found in re.finditer(pattern, line):
                yield number, advice.format((found[1] if found.re.groups else found[0]).strip())
    empty = set(EMPTY.findall("\n".join(lines)))
    for number, line in enumerate(lines, start=1):
        for name in re.findall(r"(?<!\+)\"\$\{(\w+)\[[@*]\]\}\"", line):
            if name in empty:
                safe = f'${{{name}[@]+"${{{name}[@]}}"}}'
                yield number, f"with `set -u` bash 3.2 ends at `{name}` while it is empty; write `{safe}`"


def scripts() -> list[Path]:
    """What git knows, and what is new, that is shell by its name or its first line."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return [ROOT / name for name in sorted(names) if name and is_shell(ROOT / name)]


def is_shell(file: Path) -> bool:
    if not file.is_file():
        return False
    if file.suffix in (".sh", ".sbatch"):
        return True
    with open(file, "rb") as opened:
        return file.suffix == "" and re.match(rb"#!.*\b(ba)?sh\b", opened.readline()) is not None


def main(names: list[str]) -> int:
    failed = False
    files = [Path(name) for name in names] or scripts()
    for file in files:
        shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        failed |= subprocess.run(["bash", "-n", file]).returncode != 0  # bash names the line itself
        for number, problem in problems(file.read_text()):
            print(f"{shown}:{number}: {problem}")
            failed = True
    if not failed:
        print(f"{len(files)} scripts run with what every system has")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
