"""Tests of scripts/dev/lint_notebooks.py."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from lint_notebooks import KERNEL, problems  # noqa: E402


def notebook(*sources, outputs=(), kernel=KERNEL):
    cells = [
        {"cell_type": "code", "source": source, "outputs": list(outputs), "execution_count": number}
        for number, source in enumerate(sources, start=1)
    ]
    return {"metadata": {"kernelspec": {"name": kernel}}, "cells": cells}


class Sources(unittest.TestCase):
    def check(self, source, *expected):
        """Each expected string begins one of the problems, and there are no others."""
        found = list(problems(notebook(source)))
        self.assertEqual(len(found), len(expected), found)
        for problem, start in zip(found, expected):
            self.assertIn(start, problem)

    def test_a_let_without_a_type_is_found_with_its_line(self):
        self.check("let a: u8 = 1;\nlet mut b = 2;", "cell 1, line 2: a variable")
        self.check("let (a, b) = (1, 2);", "a variable")
        self.check("let path = std::env::var(\"A: B\")?;", "a variable")

    def test_lets_that_do_not_outlive_the_cell_need_no_type(self):
        self.check("fn f() { let a = 1; }\nfor i in 0..3 {\n    let b = i;\n}")
        self.check("if let Some(a) = f() {}\nwhile let Ok(b) = g() {}")
        self.check('println!("let a = {{");\n// let b = 1;\n/* let c */')

    def test_types_of_lets_may_be_anything(self):
        self.check("let a: Vec<u8> = Vec::new();\nlet (a, b): (u8, char) = (1, ':');\nlet c: &'static str = r#\"x\"#;")

    def test_a_doc_comment_above_an_attribute_or_first_in_a_cell_is_found(self):
        self.check("/// Adds.\n#[tool]\nfn add() {}", "cell 1, line 1: put the attribute")
        self.check("/// Adds.\nfn add() {}", "put the attribute")
        self.check("use a::b;\n/// Adds.\n#[tool]\nfn add() {}", "line 2: put the attribute")
        self.check("#[tool]\n/// Adds.\n/// a: first\nfn add() {}")

    def test_an_impl_without_its_type_is_found(self):
        self.check("impl Timer {\n}", "cell 1, line 1: put the type")
        self.check("use x;\nimpl<T: Clone> Show for Timer<T> {}", "line 2: put the type")
        self.check("struct Timer;\nimpl Show for Timer {}\nimpl Timer {}")

    def test_a_long_cell_is_found(self):
        self.check("\n".join(["f();"] * 20))
        self.check("\n".join(["f();"] * 21), "line 21: a cell has at most 20")


class Outputs(unittest.TestCase):
    def check(self, output, *expected):
        found = list(problems(notebook("f();", outputs=[output])))
        self.assertEqual(len(found), len(expected), found)
        for problem, text in zip(found, expected):
            self.assertIn(text, problem)

    def test_good_outputs_pass(self):
        self.check({"output_type": "stream", "name": "stdout", "text": ["saved out/model\n", "1/2 a/b\n"]})
        self.check({"output_type": "execute_result", "data": {"text/html": "<a href='https://a.b/home/c'></home/>"}})

    def test_failures_are_found(self):
        self.check({"output_type": "error", "traceback": ["x"]}, "the cell failed")
        self.check({"output_type": "execute_result", "data": {"text/plain": "Err(no file)"}}, "the cell failed")
        self.check({"output_type": "stream", "name": "stderr", "text": "x"}, "wrote to stderr")

    def test_a_unit_that_is_shown_is_found(self):
        self.check({"output_type": "execute_result", "data": {"text/plain": "()"}}, "end the cell with `;`")

    def test_a_path_of_the_machine_is_found(self):
        self.check({"output_type": "stream", "name": "stdout", "text": "in /home/ada/x.json\n"}, "/home/ada/x.json")

    def test_a_notebook_that_was_not_run_in_order_is_found(self):
        book = notebook("f();", "g();")
        book["cells"][1]["execution_count"] = None
        self.assertIn("cell 2, line 1: commit the notebook", list(problems(book))[0])

    def test_another_kernel_is_found(self):
        self.assertIn("kernel must be", list(problems(notebook(kernel="rust")))[0])


if __name__ == "__main__":
    unittest.main()
