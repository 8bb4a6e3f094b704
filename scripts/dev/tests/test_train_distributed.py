"""Tests of scripts/train_distributed.py with fake ranks."""

import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fakes import SCRIPTS, Place  # noqa: E402

sys.path.insert(0, str(SCRIPTS))
import train_distributed  # noqa: E402

# Waits until it is asked to stop, as `toolcall train` does; `deaf` ignores it.
RANK = """\
import json, os, signal, sys, time
def say(text): # at once, as the ranks share the pipe
    os.write(1, f"{text}\\n".encode())
def stop(*_):
    say(f"rank {os.environ['RANK']} saves")
    sys.exit(130)
signal.signal(signal.SIGUSR1, signal.SIG_IGN if "deaf" in sys.argv else stop)
names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "RAYON_NUM_THREADS"]
names += ["MASTER_ADDR", "MASTER_PORT", "TOOLCALL_RANKS_SECRET"]
told = {name: os.environ[name] for name in names} | {"arguments": sys.argv[1:]}
told |= {"session": os.getsid(0) == os.getpid(), "stdin": sys.stdin.read()}
say(json.dumps(told))
time.sleep(0 if "short" in sys.argv else 60)
sys.exit(int(os.environ["RANK"]) * 3 if "failing" in sys.argv else 0)
"""
START = """\
import sys, train_distributed as t
t.PROGRAM = sys.argv.pop(1)
sys.exit(t.main(sys.argv[1:]))
"""


class Ranks(Place):
    def setUp(self) -> None:
        super().setUp()
        self.program("bin/cargo", f'echo "$*" >>{self.folder}/cargo')
        (self.folder / "rank.py").write_text(RANK)
        self.rank = self.program("rank", f'exec {sys.executable} {self.folder}/rank.py "$@"')
        self.environment["PYTHONPATH"] = str(SCRIPTS)

    def train(self, *words: object) -> subprocess.Popen:
        return self.start(sys.executable, "-c", START, self.rank, *words)

    def test_each_rank_is_told_who_it_is_in_a_session_of_its_own(self) -> None:
        said, errors = self.train("--ranks", 2, "--data", "a b", "--threads", 3, "short").communicate()
        first, second = sorted(map(json.loads, said.splitlines()), key=lambda told: told["RANK"])
        self.assertEqual([first["RANK"], second["RANK"]], ["0", "1"])
        for told in [first, second]:
            self.assertEqual(told["LOCAL_RANK"], told["RANK"])
            self.assertEqual([told["WORLD_SIZE"], told["LOCAL_WORLD_SIZE"], told["RAYON_NUM_THREADS"]], ["2", "2", "3"])
            self.assertEqual(told["arguments"], ["train", "--data", "a b", "short"])
            self.assertEqual([told["session"], told["stdin"]], [True, ""])
        for name in ["MASTER_ADDR", "MASTER_PORT", "TOOLCALL_RANKS_SECRET"]:
            self.assertEqual(first[name], second[name])
        self.assertTrue(29500 <= int(first["MASTER_PORT"]) < 30500)
        self.assertRegex(first["TOOLCALL_RANKS_SECRET"], "^[0-9a-f]{32}$")
        self.assertIn("--release --manifest-path", (self.folder / "cargo").read_text())
        many = 6 > train_distributed.usable_cores()
        self.assertEqual(errors.startswith("note: 2 ranks of 3 threads on "), many, errors)

    def test_a_port_and_a_secret_that_are_given_are_kept(self) -> None:
        self.environment |= {"MASTER_PORT": "1234", "TOOLCALL_RANKS_SECRET": "mine", "RAYON_NUM_THREADS": "1"}
        told = json.loads(self.train("--ranks", 1, "short").communicate()[0])
        self.assertEqual([told["MASTER_PORT"], told["TOOLCALL_RANKS_SECRET"], told["RAYON_NUM_THREADS"]], ["1234", "mine", "1"])

    def test_ctrl_c_lets_all_ranks_end_their_step(self) -> None:
        for number in [signal.SIGINT, signal.SIGTERM]:
            process = self.train("--ranks", 3, "--threads", 1)
            for _ in range(3):
                process.stdout.readline()
            os.killpg(process.pid, number)  # as a terminal does
            said, errors = process.communicate()
            self.assertEqual(sorted(said.splitlines()), [f"rank {rank} saves" for rank in range(3)])
            self.assertIn("stopping after this step; once more to stop at once\n", errors)
            self.assertNotIn("Traceback", errors)
            self.assertEqual(process.returncode, 130)

    def test_a_second_time_ends_them_at_once(self) -> None:
        process = self.train("--ranks", 2, "--threads", 1, "deaf")
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        while "stopping after this step" not in process.stderr.readline():
            pass
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate()[1], "")
        self.assertEqual(process.returncode, 128 + signal.SIGKILL)

    def test_the_status_is_that_of_the_last_rank_that_failed(self) -> None:
        process = self.train("--ranks", 3, "--threads", 1, "short", "failing")
        process.communicate()
        self.assertEqual(process.returncode, 6)

    def test_a_build_that_fails_ends_it(self) -> None:
        self.program("bin/cargo", "exit 101")
        process = self.train("--ranks", 1)
        self.assertEqual((process.communicate()[0], process.returncode), ("", 101))

    def test_numbers_are_checked(self) -> None:
        self.program("bin/nvidia-smi", "exit 1")
        for words, said in {
            ("--ranks",): "error: --ranks: `` is not a positive number\n",
            ("--ranks", "0"): "error: --ranks: `0` is not a positive number\n",
            ("--threads", "two"): "error: --threads: `two` is not a positive number\n",
            ("--data", "x"): "error: --ranks is missing: how many processes?\n",
        }.items():
            process = self.train(*words)
            self.assertEqual(process.communicate()[1], said)
            self.assertEqual(process.returncode, 1)

    def test_there_are_as_many_ranks_as_gpus(self) -> None:
        listing = self.program("bin/nvidia-smi", "echo 'GPU 0: one'; echo '  MIG'; echo 'GPU 1: two'")
        with patch.dict(os.environ, {"PATH": str(listing.parent)}):
            self.assertEqual(train_distributed.gpus(), 2)
        with patch.dict(os.environ, {"PATH": str(self.home)}):
            self.assertEqual(train_distributed.gpus(), 0)


if __name__ == "__main__":
    unittest.main()
