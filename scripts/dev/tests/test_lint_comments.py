"""Tests of scripts/dev/lint_comments.py."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lint_comments import LONGEST, main, problems  # noqa: E402

LONG = "word " * (LONGEST // 5 + 1)


class Comments(unittest.TestCase):
    def check(self, source, *expected):
        self.assertEqual(list(problems(source)), list(expected))

    def test_a_verb_or_a_noun_may_open_a_comment(self):
        self.check("/// Returns the loss.\nfn f() {}\n    /// Number of rows.\n// 1. Scores: [rows, keys].\n")
        self.check("//! Reads rows.\n//!\n//! Whatever they hold.\n")

    def test_an_indirect_opening_is_found_in_the_first_line_only(self):
        self.check("//! What it does.", (1, "opening"))
        self.check("a();\n    /// Whether x\nb();\n// To c\n", (2, "opening"), (4, "opening"))
        self.check("/// Returns true if x.\n/// Of all rows.\n///\n/// As before.\n")
        self.check("/// Saves.\n///\n/// # Errors\n/// Those of f.\n", (4, "opening"))
        self.check("/// Whole numbers.\nf(); // what follows\n/// Totals.\n")

    def test_a_long_line_is_found(self):
        self.check(f"    // {LONG}\n", (1, "long"))
        self.check(f"/// Short.\n/// {LONG}\n", (2, "long"))
        self.check("/// " + "ä" * (LONGEST - 4))

    def test_code_tables_fences_and_texts_are_free(self):
        self.check(f"let x = \"{LONG}\"; // {LONG}\n")
        self.check(f"/// | {LONG} |\n")
        self.check(f"/// ```\n/// {LONG}\n/// ```\n/// {LONG}\n", (4, "long"))
        self.check(f"/// ```\n/// {LONG}\nf();\n// {LONG}\n", (4, "long"))
        self.check("    \"\n    /// What it means.\\n\\\n    /// Args: x\";\n")

    def test_the_problems_are_told_with_file_and_line(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a.cu").write_text("\n// How it works\n")
            (Path(folder) / "b.txt").write_text("// How it works\n")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                self.assertEqual(main(folder), 1)
            self.assertTrue(output.getvalue().startswith(f"{folder}/a.cu:2: opening: "), output.getvalue())
            self.assertEqual(output.getvalue().count("\n"), 1)
            (Path(folder) / "a.cu").unlink()
            with contextlib.redirect_stdout(output):
                self.assertEqual(main(folder), 0)


if __name__ == "__main__":
    unittest.main()
