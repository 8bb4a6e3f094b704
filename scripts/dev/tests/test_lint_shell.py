"""Tests of scripts/dev/lint_shell.py."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lint_shell import problems  # noqa: E402


class Shell(unittest.TestCase):
    def check(self, line, *expected):
        """Each expected string is in one of the problems of a script with this line, and there are no others."""
        found = list(problems(f"#!/usr/bin/env bash\nset -eu\n{line}\n"))
        self.assertEqual(len(found), len(expected), found)
        for (number, problem), text in zip(found, expected):
            self.assertGreaterEqual(number, 3)
            self.assertIn(text, problem)

    def test_programs_that_macos_lacks_are_found(self):
        for line, text in {
            'flock 8 || true': "`flock`",
            'cores="$(nproc)"': "`nproc`",
            "sha256sum --check -": "`sha256sum`",
            'a="$(realpath "$1")"': "`realpath`",
            "setsid sleep 1 &": "`setsid`",
        }.items():
            self.check(line, text)

    def test_options_of_gnu_are_found(self):
        for line, text in {
            "find . -type f -printf '%p'": "-printf`",
            "stat -c %s file": "`stat -c`",
            'readlink -f "$0"': "`readlink -f`",
            "date -d yesterday": "`date -d`",
            "cp --recursive a b": "--recursive`",
            "sed -i s/a/b/ file": "`sed -i`",
            "echo a | grep -oP '\\d'": "`grep -oP`",
            "cp -al a b": "`cp -al`",
            "sed -n 's/^# \\?//p' file": "\\?`",
        }.items():
            self.check(line, text)

    def test_what_is_newer_than_bash_3_2_is_found(self):
        for line, text in {
            "mapfile -t lines": "`mapfile`",
            "declare -A map": "`declare -A`",
            "local -n name": "`local -n`",
            'echo "${name,,}"': "`${name,,}`",
            'echo "${name^}"': "`${name^}`",
            "wait -n": "`wait -n`",
            'echo "${list[-1]}"': "`${list[-1]}`",
            "make &>>log": "`&>>`",
        }.items():
            self.check(line, text)

    def test_a_list_that_may_be_empty_is_found_where_it_is_not_guarded(self):
        self.check('list=()\nrun "${list[@]}"', 'write `${list[@]+"${list[@]}"}`')
        self.check('first=(${3:+--rows "$3"})\nrun "${first[@]}"', "ends at `first`")
        self.check('list=()\nrun ${list[@]+"${list[@]}"}')
        self.check('list=(a b)\nrun "${list[@]}"')

    def test_what_every_system_has_is_well(self):
        self.check('grep --quiet x file; cargo build --quiet --release; python3 -c "import os; os.path.realpath(1)"')
        self.check("# macOS has no flock and no nproc\ntrue # and no setsid")
        self.check('case "$1" in a) echo "${1:-}" ;; *) echo "${list[@]:1}" ;; esac')
        self.check("cp -r a b && mkdir -p c && tail -n 20 d && sed -E 's/a+//' e && find . -name x")

    def test_a_script_for_linux_only_may_use_anything(self):
        self.assertEqual(list(problems("#!/usr/bin/env bash\n# Checks a cluster. Linux only.\nnproc\n")), [])


if __name__ == "__main__":
    unittest.main()
