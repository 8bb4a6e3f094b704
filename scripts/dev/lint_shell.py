"""Checks that the shell scripts use nothing that needs bash 4 or GNU's programs: macOS has neither.

usage: python3 scripts/dev/lint_shell.py [FILE ...]     default: every script that git knows

A script that says `Linux only` in a comment at its head may use anything. `bash -n` must accept every script.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Patterns that the code without its comments must not have, and the message for each.
PROGRAMS = "flock setsid nproc sha256sum md5sum timeout tac shuf numfmt"
WITH_OPTIONS = "cp mv rm ln mkdir ls cat sort head tail tee cut wc du sed xargs mktemp touch chmod date stat basename dirname"
GNU = [
    r"stat -c|stat --\w+|date -d|readlink -[fem]+|sed -i|grep -\w*P\w*|xargs -r|cp -\w*l\w*|mktemp -p|du -sb|sort -V",
    r"find\b[^|;]*\s(?:-printf|-regextype)",
    rf"(?:{WITH_OPTIONS.replace(' ', '|')})\s(?:[^|;&]*\s)?--[a-z][\w-]*",
    r"sed\b[^|;]*\\[?+|]",
]
BASH_4 = [
    r"\b(?:mapfile|readarray|coproc|wait -n|shopt -s (?:globstar|lastpipe)|read -\w*[Ni]\w*)\b",
    r"\b(?:declare|local|typeset) -\w*[Anlug]\w*",
    r"\$\{\w+(?:\[[^]]*\])?(?:,,?|\^\^?|@[A-Za-z])[^}]*\}",
    r"\$\{\w+\[-\d+\]\}|\$\{\w+:[^}]*:\s*-\d+\}|printf [^|;]*%\([^)]*\)T",
    r"\$\{?(?:EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASHPID)\}?",
    r"&>>|\|&|;;&|;&",
]
RULES = [
    (rf"(?<![\w.-])(?:{PROGRAMS.replace(' ', '|')}|realpath)\b(?!\()", "not every macOS has `{}`; use Python"),
    *((rf"(?<![\w.-])(?:{pattern})", "`{}` is GNU's; use what POSIX has, or Python") for pattern in GNU),
    *((pattern, "bash 3.2 has no `{}`") for pattern in BASH_4),
    ("#!/bin/bash", "`{}` is the old bash of macOS; write #!/usr/bin/env bash"),
]
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
    """(line, problem) for everything that is wrong with a script."""
    if is_linux_only(text):
        return
    lines = [code_of(line) for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        for pattern, problem in RULES:
            for found in re.finditer(pattern, line):
                yield number, problem.format(found[0])
    empty = set(EMPTY.findall("\n".join(lines)))
    for number, line in enumerate(lines, start=1):
        for name in re.findall(r"(?<!\+)\"\$\{(\w+)\[[@*]\]\}\"", line):
            if name in empty:
                safe = f'${{{name}[@]+"${{{name}[@]}}"}}'
                yield number, f"with `set -u` bash 3.2 ends at `{name}` while it is empty; write `{safe}`"


def scripts() -> list[Path]:
    """Tracked and new files that are shell by their name or their first line."""
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
