"""Tests of how scripts/check.py counts and ends."""

import contextlib
import io
import sys
import unittest
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import check  # noqa: E402

UNITTEST = "print('Ran 3 tests in 0.1s'); print('FAILED (failures=1)'); raise SystemExit(5)"


class Counting(unittest.TestCase):
    def test_tests_are_counted_as_cargo_nextest_and_unittest_report_them(self):
        for line, counts in {
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out": (12, 0),
            "test result: FAILED. 4 passed; 2 failed; 0 ignored": (4, 2),
            "     Summary [  63.5s] 891 tests run: 890 passed (2 slow), 1 failed, 3 skipped": (890, 1),
            "Ran 7 tests in 0.012s": (7, 0),
            "FAILED (failures=1, errors=2, skipped=5)": (0, 3),
            "test a::ten_passed ... ok": (0, 0),
        }.items():
            self.assertEqual(check.count(line), counts, line)


class Ending(unittest.TestCase):
    def ending(self, steps):
        """The status of a gate with these steps, and what it prints."""
        said = io.StringIO()
        with patch.object(check, "check", lambda gate, features: steps(gate)), contextlib.redirect_stdout(said):
            status = check.main()
        return status, said.getvalue().splitlines()

    def test_all_is_well(self):
        def steps(gate):
            gate.step("one", sys.executable, "-c", "import os; assert os.environ['FLAGS'] == 'some'", FLAGS="some")
            gate.tests("two", sys.executable, "-c", "print('test result: ok. 3 passed; 0 failed')")

        status, lines = self.ending(steps)
        self.assertEqual(status, 0)
        self.assertIn("== one (", "\n".join(lines))
        self.assertIn("test result: ok. 3 passed; 0 failed", lines)
        self.assertTrue(any(line.startswith("all is well (") for line in lines))
        self.assertEqual(lines[-1], "3 passed, 0 failed")

    def test_a_step_that_fails_ends_it_with_its_status(self):
        def steps(gate):
            gate.tests("one", sys.executable, "-c", UNITTEST)
            self.fail("it went on")

        status, lines = self.ending(steps)
        self.assertEqual((status, lines[-1]), (5, "3 passed, 1 failed"))

    def test_a_step_without_tests_that_fails_counts_as_one(self):
        status, lines = self.ending(lambda gate: gate.step("one", sys.executable, "-c", "raise SystemExit(2)"))
        self.assertEqual((status, lines[-1]), (2, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
