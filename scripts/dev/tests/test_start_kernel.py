"""Tests of scripts/kernel.sh with a fake seed and a fake kernel."""

import fcntl
import json
import os
import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fakes import SCRIPTS, Place  # noqa: E402

# Records how it was started, starts a child that the test can end, and ends when it is asked to.
KERNEL = """\
import json, os, signal, subprocess, sys
child = subprocess.Popen(["cat", "child"], close_fds=False)
names = ["TOOLCALL_MODEL", "EVCXR_TMPDIR", "EVCXR_CONFIG_DIR", "RUST_LIB_BACKTRACE", "JUPYTER_DATA_DIR"]
told = {name: os.environ.get(name) for name in names} | {"arguments": sys.argv[1:], "pid": os.getpid()}
print("for nobody")
open("told.part", "w").write(json.dumps(told | {"signals": SIGNALS}))
os.rename("told.part", "told")
open("kernel").read()
"""


class Starts(Place):
    def setUp(self) -> None:
        super().setUp()
        seed = self.home / "seed"
        for file in ["Cargo.toml", "Cargo.lock", "ctx/src/lib.rs", "keep/src/lib.rs", "target/.rustc_info.json"]:
            self.file(seed / file)
        for file in [".cargo-lock", "deps/libcandle.rlib", "deps/libtoolcall_lib.so", ".fingerprint/toolcall_lib-1/dep"]:
            self.file(seed / "target/debug" / file)
        os.utime(seed / "target/debug/deps/libtoolcall_lib.so", ns=(1, 1_700_000_000_123_456_789))
        (self.folder / "kernel.py").write_text(KERNEL.replace("SIGNALS", 'os.environ["SIGNALS"]'))
        # The shell reports which signals end nothing; Python would change how they are treated.
        signals = "for signal in INT PIPE XFSZ; do sh -c 'kill -s $0 $$; echo $0' $signal; done"
        self.program("home/bin/evcxr_jupyter", f'SIGNALS=$({{ {signals}; }} 2>/dev/null) exec {sys.executable} {self.folder}/kernel.py "$@"')
        for gate in ["kernel", "child"]:
            os.mkfifo(self.folder / gate)

    def file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    def open(self, gate: str) -> None:
        """Ends the kernel or its child."""
        os.close(os.open(self.folder / gate, os.O_WRONLY))

    def start_kernel(self) -> dict:
        self.process = self.start(SCRIPTS / "kernel.sh", "--control_file", "some file")
        self.wait_until(lambda: (self.folder / "told").exists() or self.process.poll() is not None, "the kernel did not start")
        self.assertIsNone(self.process.poll(), self.process.stderr.read() if self.process.poll() is not None else "")
        return json.loads((self.folder / "told").read_text())

    def test_the_kernel_is_told_where_it_works_and_keeps_the_process(self) -> None:
        model = self.home / "models/SmolLM2-135M-Instruct.gguf"
        self.file(model)
        told = self.start_kernel()
        (work,) = (self.home / "kernels").iterdir()
        self.assertEqual(told["arguments"], ["--control_file", "some file"])
        self.assertEqual(told["pid"], self.process.pid)
        self.assertEqual(told["TOOLCALL_MODEL"], "home/models/SmolLM2-135M-Instruct.gguf")
        self.assertEqual(told["EVCXR_TMPDIR"], str(work / "ctx"))
        self.assertEqual(told["EVCXR_CONFIG_DIR"], str(SCRIPTS / "kernel"))
        self.assertEqual(told["RUST_LIB_BACKTRACE"], "0")
        self.assertEqual(told["JUPYTER_DATA_DIR"], str(self.home / "jupyter/data"))
        self.open("kernel")
        self.open("child")
        self.assertEqual(self.process.communicate(), ("", ""))  # what the kernel prints is for nobody

    def test_a_model_that_is_no_file_and_the_headless_settings_are_handed_on(self) -> None:
        self.environment |= {"TOOLCALL_MODEL": "Qwen/Qwen3-0.6B", "TOOLCALL_HEADLESS": "1"}
        told = self.start_kernel()
        self.assertEqual(told["TOOLCALL_MODEL"], "Qwen/Qwen3-0.6B")
        self.assertEqual(told["EVCXR_CONFIG_DIR"], str(SCRIPTS / "kernel/headless"))

    def test_an_interrupt_does_not_end_it_and_a_closed_pipe_ends_what_it_starts(self) -> None:
        self.assertEqual(self.start_kernel()["signals"], "INT")
        os.killpg(self.process.pid, signal.SIGINT)
        time.sleep(0.1)
        self.assertIsNone(self.process.poll())

    def test_only_what_changes_is_copied(self) -> None:
        self.start_kernel()
        (work,) = (self.home / "kernels").iterdir()
        for file in ["Cargo.toml", "Cargo.lock", "ctx/src/lib.rs", "keep/src/lib.rs"]:
            self.assertNotEqual((work / file).stat().st_ino, (self.home / "seed" / file).stat().st_ino, file)
        seed, target = self.home / "seed/target", work / "ctx/target"
        own = [".rustc_info.json", "debug/deps/libtoolcall_lib.so", "debug/.fingerprint/toolcall_lib-1/dep"]
        for file in [*own, "debug/deps/libcandle.rlib"]:
            shared = (target / file).stat().st_ino == (seed / file).stat().st_ino
            self.assertEqual(shared, file not in own, file)
            self.assertEqual((target / file).stat().st_mtime_ns, (seed / file).stat().st_mtime_ns, file)
        self.assertFalse((target / "debug/.cargo-lock").exists())
        self.assertTrue((seed / "debug/.cargo-lock").exists())

    def test_the_folder_goes_when_the_kernel_and_its_last_child_are_gone(self) -> None:
        self.start_kernel()
        (work,) = (self.home / "kernels").iterdir()
        self.process.kill()
        self.process.wait()
        time.sleep(0.2)
        self.assertTrue((work / "ctx/target").is_dir(), "a child still needs it")
        self.open("child")
        self.wait_until(lambda: not work.exists(), "the folder was left behind")

    def test_the_folder_goes_when_the_whole_group_is_killed(self) -> None:
        self.start_kernel()
        (work,) = (self.home / "kernels").iterdir()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait_until(lambda: not work.exists(), "the folder was left behind")

    def test_the_next_kernel_removes_folders_of_which_nobody_is_left(self) -> None:
        left, used = self.home / "kernels/left", self.home / "kernels/used"
        for folder in [left, used]:
            self.file(folder / "ctx/file")
        with open(used / "lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.start_kernel()
            self.assertFalse(left.exists())
            self.assertTrue((used / "ctx/file").exists())

    def test_it_waits_until_setup_has_ended(self) -> None:
        with open(self.home / "lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = self.start(SCRIPTS / "kernel.sh")
            self.wait_until((self.home / "kernels").exists, "it did not start")
            time.sleep(0.2)
            self.assertEqual(list((self.home / "kernels").iterdir()), [])
        self.wait_until(lambda: (self.folder / "told").exists(), "it did not go on")
        process.kill()

    def test_what_is_missing_is_named(self) -> None:
        seed = self.home / "seed"
        seed.rename(self.home / "other")
        _, errors = self.start(SCRIPTS / "kernel.sh").communicate()
        self.assertEqual(errors, f"error: {seed}/target is missing: run scripts/setup.sh seed\n")
        (self.home / "bin/evcxr_jupyter").unlink()
        _, errors = self.start(SCRIPTS / "kernel.sh").communicate()
        self.assertEqual(errors, f"error: {self.home}/bin/evcxr_jupyter is missing: run scripts/setup.sh kernel\n")


if __name__ == "__main__":
    unittest.main()
