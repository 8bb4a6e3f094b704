"""Tests of scripts/dev/lint_modules.py."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lint_modules import circle_problems, problems  # noqa: E402

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
        self.check("data.rs", "\nuse crate::model::Model;\n", "2: `data` is above `model`")
        self.check("data.rs", "use crate::{error::{self, Error}, train::run};\n", "1: `data` is above `train`")
        self.check("data/rows.rs", "fn f() { crate::model::load() }\n", "1: `data` is above `model`")

    def test_a_name_that_lib_exports_counts_as_its_module(self):
        self.check("data.rs", "use crate::Layer;\n", "1: `data` is above `model`")

    def test_comments_tests_and_orchestrators_are_free(self):
        self.check("data.rs", "//! [`train`](crate::train)\n#[cfg(test)]\nmod tests { use crate::model::Model; }\n")
        self.check("train.rs", "use crate::train::x;\nuse crate::model::Model;\n")


class Circles(unittest.TestCase):
    def check(self, files, *expected):
        with tempfile.TemporaryDirectory() as folder:
            for name, code in {"lib.rs": "pub mod data;\n", **files}.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code)
            found = [problem.removeprefix(f"{folder}/") for problem in circle_problems(Path(folder))]
        self.assertEqual(len(found), len(expected), found)
        for problem, words in zip(found, expected):
            for word in words:
                self.assertIn(word, problem)

    def test_siblings_that_use_each_other_are_found_by_any_path(self):
        head = "mod a;\nmod b;\npub use b::B;\n"
        for path in ["use super::b::B;\n", "use super::B;\n", "use crate::data::{b::B as C, a};\n", "fn f() { super::b::B::new() }\n"]:
            a = path + "pub struct A;\n"
            files = {"data/mod.rs": head, "data/a.rs": a, "data/b.rs": "\nuse super::a::A;\npub struct B;\n"}
            self.check(files, ["data: a, b use each other in a circle", "b → a (b.rs:2 A)"])

    def test_a_file_stands_for_all_below_it(self):
        files = {"data/mod.rs": "mod a;\nmod b;\n", "data/a/mod.rs": "mod x;\n", "data/b.rs": "use super::a;\n"}
        self.check(files | {"data/a/x.rs": "use super::super::b::f;\n"}, ["data: a, b use each other"])

    def test_a_parent_that_uses_a_child_must_not_define_what_that_needs(self):
        child = {"data/a.rs": "use super::{MOST, Row};\npub fn read() -> Row { Row(MOST) }\n"}
        parent = "mod a;\nconst MOST: usize = 1;\npub struct Row(usize);\n"
        self.check(child | {"data/mod.rs": parent})
        self.check(child | {"data/mod.rs": parent + "fn f() { a::read() }\n"}, ["data: a, mod use each other"])
        beside = {"data.rs": parent + "pub use a::read;\nfn f() { read() }\n"}
        self.check(child | beside, ["data: a, mod use each other"])
        moved = "mod a;\nmod row;\nuse row::Row;\nconst MOST: usize = 1;\nfn f() -> Row { a::read() }\n"
        self.check(child | {"data/mod.rs": moved, "data/row.rs": "pub struct Row(usize);\n"})

    def test_re_exports_comments_texts_and_tests_are_free(self):
        files = {"data/mod.rs": "mod a;\npub use a::A;\npub struct Row; // a::A\nconst TEXT: &str = \"a::A\";\n"}
        self.check(files | {"data/a.rs": "use super::Row;\npub struct A;\n"})
        tests = "#[cfg(test)]\nmod tests {\n    use super::a::A;\n}\n"
        self.check({"data/mod.rs": "mod a;\npub struct Row;\n" + tests, "data/a.rs": "use super::Row;\n"})

    def test_programs_are_crates_of_their_own(self):
        main = "mod a;\nfn f() {}\nfn main() { a::g() }\n"
        self.check({"bin/tool/main.rs": main, "bin/tool/a.rs": "use super::f;\nfn g() {}\n"}, ["bin/tool: a, mod"])


if __name__ == "__main__":
    unittest.main()
