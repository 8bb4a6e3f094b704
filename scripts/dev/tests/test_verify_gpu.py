"""Tests of the programs that read the results of a verification on a GPU."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
KIT = SCRIPTS / "verify" / "gpu"
sys.path[:0] = [str(KIT), str(SCRIPTS / "bench")]
import collect  # noqa: E402
import parity  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402


def comparison(what: str, relative: float, kernels: list[str], precision: str = "f32") -> dict:
    of = {"what": what, "off": 2 * relative, "largest": 2.0, "relative": relative, "allowed": 1e-4}
    return of | {"within": relative <= 1e-4, "precision": precision, "kernels": kernels}


class Parity(unittest.TestCase):
    def test_outputs_that_are_compared_one_after_the_other_are_those_of_the_same_kernels(self):
        found = parity.summary([comparison("out", 1e-6, ["forward"]), comparison("lse", 3e-6, []), comparison("dx", 2e-6, ["backward"])])
        self.assertEqual(found["comparisons"], 3)
        self.assertEqual(found["kernels"]["forward"]["what"], "lse")
        self.assertEqual(found["kernels"]["backward"]["relative"], 2e-6)
        self.assertEqual(found["worst"]["f32"]["what"], "lse")

    def test_of_a_kernel_the_one_nearest_to_what_is_allowed_counts(self):
        rounded = comparison("dx", 2e-3, ["sum_f32"], "bf16") | {"allowed": 6e-2}
        found = parity.summary([rounded, comparison("dw", 5e-5, ["sum_f32"])])
        self.assertEqual(found["kernels"]["sum_f32"]["what"], "dw")

    def test_a_failed_test_says_why(self):
        text = "running 1 test\n\nthread 'a' (1) panicked at src/x.rs:1:2:\nout: element 3: 1, not 2\nnote: run with\n"
        self.assertEqual(parity.problem(text), "out: element 3: 1, not 2")
        self.assertEqual(parity.problem("killed"), "killed")

    def test_a_test_that_fails_hangs_or_passes_is_told_apart(self):
        with tempfile.TemporaryDirectory() as folder:
            program, results = Path(folder) / "parity", Path(folder) / "results.jsonl"
            program.write_text(
                "#!/usr/bin/env bash\n"
                'case "$2" in\n'
                '--format) printf "a::good: test\\na::far: test\\na::bad: test\\na::slow: test\\nb::other: test\\n" ;;\n'
                "a::good) printf '%s\\n' '" + json.dumps(comparison("y", 1e-7, ["add"])) + "' >\"$TOOLCALL_TEST_RECORD\"\n"
                'echo "1 passed" ;;\n'
                "a::far) printf '%s\\n' '" + json.dumps(comparison("y", 1e-2, ["add"])) + "' >\"$TOOLCALL_TEST_RECORD\"\n"
                'echo "1 passed" ;;\n'
                'a::bad) printf "panicked at x:\\nbroken\\n"; exit 101 ;;\n'
                "a::slow) exec sleep 60 ;;\n"
                "esac\n"
            )
            program.chmod(0o755)
            words = ["--program", program, "--results", results, "--stage", "b", "--folder", folder, "--tests", "^a::", "--limit", "2"]
            subprocess.run([sys.executable, KIT / "parity.py", *words], check=True, stdout=subprocess.DEVNULL)
            found = {line["test"]: line for line in map(json.loads, results.read_text().splitlines())}
        passed = {"a::good": True, "a::far": False, "a::bad": False, "a::slow": False}
        self.assertEqual({name: line["passed"] for name, line in found.items()}, passed)
        far = "1 of 1 comparisons are too far off, the worst y: off by 1.0e-02, allowed 1.0e-04"
        self.assertEqual(found["a::far"]["problem"], far)
        self.assertEqual(found["a::good"]["kernels"]["add"]["relative"], 1e-7)
        self.assertEqual((found["a::bad"]["exit"], found["a::bad"]["problem"]), (101, "broken"))
        self.assertEqual(found["a::slow"]["exit"], "timeout")


class Collect(unittest.TestCase):
    def test_speed_is_that_of_windows_behind_the_first(self):
        seconds = [5.0] + [0.1] * 19 + [0.1] * 10 + [0.2] * 10 + [0.1] * 10
        speed = collect.speed(seconds, 8)
        self.assertAlmostEqual(speed["samples_per_second"], 80)
        self.assertEqual(speed["first_step_seconds"], 5.0)
        self.assertAlmostEqual(collect.speed([9.0, 0.5, 0.5, 0.5], 2)["seconds_per_step"], 0.5)

    def test_numbers_and_advice_are_found_between_the_lines_of_the_program(self):
        head = ["ID", "Kernel Name", "Section Name", "Metric Name", "Metric Unit", "Metric Value", "Rule Type", "Rule Description"]
        lines = [["0", "adamw", "SOL", "Duration", "us", "812.5", "", ""], ["0", "adamw", "SOL", "", "", "", "OPT", "Use more, of it"]]
        quoted = "\n".join(",".join(f'"{cell}"' for cell in line) for line in [head, *lines])
        metrics, advice = collect.read_ncu(f'==PROF== Connected\n{{"steps": 3}}\n{quoted}\n')
        self.assertEqual((metrics, advice), ({"duration": "812.5 us"}, ["Use more, of it"]))
        self.assertEqual(collect.read_ncu("==ERROR== no permission"), ({}, []))


class Rows(unittest.TestCase):
    def test_prompts_differ_and_come_again_where_there_are_too_few(self):
        def row(user: str, reply: str) -> dict:
            return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": reply}], "tools": []}

        chosen = rows.beginnings([row("a", "1"), row("a", "2"), row("b", "3")], 3)
        self.assertEqual([r["messages"][0]["content"] for r in chosen], ["a", "b", "a"])
        self.assertEqual(len(rows.whole_batches(list(range(19)), 8)), 16)


def results() -> list[dict]:
    """Results of a run in which a kernel is wrong, one contender fails, and a stage is stopped."""
    off = {"what": "y", "off": 1e-5, "largest": 2.0, "relative": 5e-6, "allowed": 1e-4, "precision": "f32"}
    test = {"what": "test", "passed": True, "seconds": 1.0, "comparisons": 2, "worst": {"f32": off}, "kernels": {"add": off}}
    wrong = test | {"passed": False, "problem": "y: element 3", "kernels": {"norm_bf16": off | {"relative": 0.5, "precision": "bf16"}}}
    run = {"what": "training", "steps": 75, "seconds_per_step": 0.02, "samples_per_second": 400.0, "first_loss": 12.0, "last_loss": 2.0}
    other = run | {"samples_per_second": 100.0, "seconds_per_step": 0.08, "card_bytes": 20 << 30}
    profile = {"steps": 2, "peak_bytes": 13 << 30, "kernels": [{"name": "copy to the GPU", "calls": 9, "seconds": 0.3}, {"name": "adamw", "calls": 100, "seconds": 0.02}]}
    reply = {"what": "replies", "engine": "toolcall", "batch": 8, "prompt_tokens": 2400, "read_seconds": 0.01, "token_seconds": 0.002}
    return [
        {"stage": "a", "what": "devices", "text": "cpu: 16 threads\ncuda 0: NVIDIA H100 80GB HBM3, 79 GiB, compute capability 9.0"},
        {"stage": "a", "what": "peaks", "card": "H100", "torch": "2.11.0", "bf16_flops": 8e14, "bytes_per_second": 3e12},
        {"stage": "b", "test": "cuda::ops::tests::old", **test, "passed": False},
        {"stage": "b", "what": "stage", "status": 1, "seconds": 1, "limit": 70},
        {"stage": "b", "test": "cuda::ops::tests::adds", **test},
        {"stage": "b", "test": "cuda::ops::norm::tests::norms", **wrong},
        {"stage": "b", "what": "stage", "status": 0, "seconds": 20, "limit": 70},
        {"stage": "c", "test": "cuda::decoder::tests::ten_steps_are_those_of_the_cpu", **test},
        {"stage": "d", "name": "toolcall", **run, "flop_per_second": 2e14},
        {"stage": "d", "name": "TRL", **other},
        {"stage": "d", "what": "training", "name": "TRL with Liger", "problem": "ended with 1"},
        {"stage": "d", "what": "profile", "profile": profile},
        {"stage": "e", **reply},
        {"stage": "f", "what": "two ranks on one GPU", "status": "1 1", "text": "NCCL WARN\nerror: rank 0: Duplicate GPU", "other": ""},
        {"stage": "g", "what": "sanitizer", "problem": "compute-sanitizer is not on this machine"},
        {"stage": "h", "what": "stage", "status": 124, "seconds": 80, "limit": 80},
    ]


class Report(unittest.TestCase):
    def setUp(self):
        self.text = "\n\n".join(report.report(results()))

    def test_the_tables_have_what_was_found(self):
        for expected in (
            "NVIDIA H100 80GB HBM3, 79 GiB, compute capability 9.0.",
            "800 TFLOP/s and copies 3 TB/s",
            "| `add`       | y             | 1.0e-05    | 5.0e-06  |",
            "f32: 1 kernels, at most 5.0e-06, within 1.0e-04.",
            "bf16: 1 kernels, at most 5.0e-01, NOT WITHIN 6.0e-02.",
            "| ten steps are those of the cpu | f32 | 2        | y            | 5.0e-06  | 1.0e-04 |",
            "| toolcall | 400.0     | 20.0 ms |",
            "| 25%              | 4.00                 |",
            "| 20.0 GiB           |",
            "Of 10.0 ms a step on the GPU, with at most 13.0 GiB allocated, and 0.3 s of copies for the whole run:",
            "| toolcall | 8       | 240,000         | 4,000          |",
            "said: error: rank 0: Duplicate GPU / nothing",
        ):
            self.assertIn(expected, self.text)

    def test_what_failed_stands_first_and_an_earlier_run_of_a_stage_counts_no_more(self):
        problems = self.text.split("What failed, or was not there:\n\n")[1].split("\n\n")[0].splitlines()
        self.assertEqual(
            problems,
            [
                "- stage b, cuda::ops::norm::tests::norms: y: element 3",
                "- stage d, TRL with Liger: ended with 1",
                "- stage g, sanitizer: compute-sanitizer is not on this machine",
                "- stage h, stage: stopped after 80 s",
            ],
        )
        self.assertNotIn("rehearsal", self.text)


if __name__ == "__main__":
    unittest.main()
