"""Tests of the notebook kernel and of run_notebook.py with the real kernel; scripts/dev/test_notebooks.sh runs them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
from kernel import Kernel, failure, stream  # noqa: E402

DEP = ':dep toolcall_lib = { path = "../toolcall_lib", default-features = false, features = ["cuda"] }'
# A run of the library that ends when the user asks for it.
WAIT = """\
let count: usize = 7;
let run: interrupt::Guard = interrupt::Guard::start()?;
println!("running");
while !interrupt::requested() {
    std::thread::sleep(std::time::Duration::from_millis(10));
}
println!("stopped");"""


class InJupyter(unittest.TestCase):
    """Tests of what a user sees in Jupyter. They share a kernel, as the cells of a notebook do."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = cls.enterClassContext(Kernel(ROOT / "scripts"))
        outputs = cls.kernel.execute(DEP + "\nuse toolcall_lib::interrupt;")
        assert failure(outputs) is None, failure(outputs)

    def printed(self, source, on_output=lambda output: None):
        outputs = self.kernel.execute(source, on_output)
        self.assertIsNone(failure(outputs))
        return stream(outputs, "stdout")

    def test_an_interrupt_ends_the_run_and_keeps_every_variable(self):
        def press(output):
            if output.get("text") == "running\n":
                self.kernel.interrupt()

        self.assertEqual(self.printed(WAIT, press), "running\nstopped\n")
        self.assertEqual(self.printed('println!("{count}");'), "7\n")
        # If the library were linked into each cell, this one would see its own flag, which is not set.
        shared = self.printed('println!("{}", interrupt::requested());')
        self.assertEqual(shared, "true\n", "each cell has its own copy of the library's statics")

    def test_a_panic_is_told_in_two_lines_and_keeps_every_variable(self):
        self.printed("interrupt::install()?;\nlet kept: usize = 8;")
        told = self.kernel.execute('let none: Option<u8> = None;\nnone.expect("no row 3");')
        told += self.kernel.execute('println!("{kept}");')  # evcxr may hand stderr over with the next cell
        self.assertEqual(stream(told, "stdout"), "8\n")
        lines = stream(told, "stderr").splitlines()
        self.assertEqual(len(lines), 2, lines)
        self.assertEqual(lines[1], "no row 3")


class Headless(unittest.TestCase):
    """Tests of how a failing cell ends without a user."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = cls.enterClassContext(Kernel(ROOT / "scripts", TOOLCALL_HEADLESS="1"))

    def assert_fails(self, source, reason):
        self.assertIn(reason, str(failure(self.kernel.execute(source))))

    def test_what_is_well_is_no_failure(self):
        self.assertIsNone(failure(self.kernel.execute('eprintln!("a warning");\nprintln!("{}", "fine");')))
        self.assertIsNone(failure(self.kernel.execute('let number: u8 = "7".parse()?;\nOk::<u8, ()>(number)')))

    def test_a_question_mark_on_an_error(self):
        self.assert_fails('let number: u8 = "x".parse()?;', "invalid digit")

    def test_a_panic(self):
        self.assert_fails('panic!("no row 3");', "no row 3")

    def test_an_error_that_is_shown(self):
        self.assert_fails('"x".parse::<u8>()', "Err(ParseIntError")

    def test_code_that_does_not_compile(self):
        self.assert_fails("let number: u8 = missing;", "cannot find value `missing`")


class Runner(unittest.TestCase):
    """Tests of run_notebook.py."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.out = self.folder / "out.ipynb"

    def start(self, *cells, model):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(book, self.folder / "book.ipynb")
        options = ["book.ipynb", "--model", model, "--out", self.out]
        command = [sys.executable, ROOT / "scripts" / "run_notebook.py", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, **pipes)

    def test_outputs_are_shown_and_written(self):
        (self.folder / "model").mkdir()
        model = 'println!("on {}", std::env::var("TOOLCALL_MODEL")?);\nprintln!("here");\n"end"'
        process = self.start("let a: u8 = 41;", model, model="model")
        said, errors = process.communicate()
        self.assertEqual(process.returncode, 0, said + errors)
        for line in ["[2/2] println!", "      on model", "      here", '      "end"']:
            self.assertIn(line, said)
        first, second = json.loads(self.out.read_text())["cells"]
        self.assertEqual([first["execution_count"], second["execution_count"]], [1, 2])
        self.assertEqual([output["output_type"] for output in second["outputs"]], ["stream", "execute_result"])
        self.assertEqual("".join(second["outputs"][0]["text"]), "on model\nhere\n")

    def test_the_first_failure_ends_the_run_with_its_cell_and_reason(self):
        process = self.start("let a: u8 = 1;", 'let b: u8 = "x".parse()?;', 'println!("too far");', model="owner/name")
        said, errors = process.communicate()
        self.assertEqual(process.returncode, 1, said + errors)
        for part in ["cell 2 of book.ipynb failed", 'let b: u8 = "x".parse()?;', "invalid digit"]:
            self.assertIn(part, errors)
        self.assertNotIn("too far", said)
        self.assertIn("invalid digit", self.out.read_text())

    def test_an_interrupt_ends_the_cell_and_writes_the_notebook(self):
        dep = DEP.replace("..", str(ROOT)) + "\nuse toolcall_lib::interrupt;"
        process = self.start(dep, WAIT, 'println!("too far");', model="owner/name")
        for line in process.stdout:
            if line.strip() == "running":
                process.send_signal(signal.SIGINT)
                break
        said, errors = process.communicate()
        self.assertEqual(process.returncode, 130, said + errors)
        self.assertIn("stopped", said)
        self.assertNotIn("too far", said)
        self.assertIn("stopped", self.out.read_text())

    def test_a_model_that_is_not_there_is_said_before_anything_starts(self):
        process = self.start("let a: u8 = 1;", model="no/such/model.gguf")
        said, errors = process.communicate()
        self.assertEqual(process.returncode, 1)
        self.assertIn("--model no/such/model.gguf: neither", errors)


if __name__ == "__main__":
    unittest.main()
