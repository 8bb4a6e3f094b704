"""Tests of scripts/dev/lint_modules.py."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lint_modules import problems  # noqa: E402

LIBRARY = "pub mod error;\npub mod data;\npub mod model;\npub mod train;\npub use model::{Model, Layer};\n"


class Order(unittest.TestCase):
    def check(self, file, code, *expected):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "lib.rs").write_text(LIBRARY)
            path = Path(folder) / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(code)
            found = [problem.removeprefix(f"{path}:") for problem in problems(Path(folder))]
        self.assertEqual(len(found), len(expected), found)
        for problem, start in zip(found, expected):
            self.assertTrue(problem.startswith(start), problem)

    def test_a_module_may_use_what_stands_above_it_and_itself(self):
        self.check("model.rs", "use crate::data::Row;\nuse crate::error::Error;\nuse crate::model::Layer;\n")

    def test_a_use_of_a_later_module_is_found(self):
        self.check("data.rs", "\nuse crate::model::Model;\n", "2: `data` stands above `model`")
        self.check("data.rs", "use crate::{error::{self, Error}, train::run};\n", "1: `data` stands above `train`")
        self.check("data/rows.rs", "fn f() { crate::model::load() }\n", "1: `data` stands above `model`")

    def test_a_name_that_lib_exports_counts_as_its_module(self):
        self.check("data.rs", "use crate::Layer;\n", "1: `data` stands above `model`")

    def test_comments_tests_and_orchestrators_are_free(self):
        self.check("data.rs", "//! [`train`](crate::train)\n#[cfg(test)]\nmod tests { use crate::model::Model; }\n")
        self.check("train.rs", "use crate::train::x;\nuse crate::model::Model;\n")


if __name__ == "__main__":
    unittest.main()
