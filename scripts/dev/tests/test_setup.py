"""Tests of scripts/setup.sh with a fake cargo and a fake compiler."""

import fcntl
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fakes import SCRIPTS, Place  # noqa: E402

sys.path.insert(0, str(SCRIPTS))
import setup  # noqa: E402

ROOT = SCRIPTS.parent


class SetUp(Place):
    def setUp(self) -> None:
        super().setUp()
        self.calls = self.folder / "calls"
        self.cargo("true")

    def cargo(self, code: str) -> None:
        self.program("bin/cargo", f'echo "$*" >>{self.calls}\n{code}')

    def set_up(self, *parts: str) -> tuple[int, str]:
        process = self.start(SCRIPTS / "setup.sh", *parts)
        _, errors = process.communicate()
        return process.returncode, errors

    def called(self) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines

    def stamp(self, part: str) -> Path:
        return self.home / "done" / part


class Parts(SetUp):
    def test_a_part_is_made_once_and_again_when_its_pin_is_another(self) -> None:
        status, errors = self.set_up("kernel")
        self.assertEqual(status, 0, errors)
        first, last = errors.splitlines()
        self.assertEqual(first, "setup: the kernel evcxr_jupyter 0.22.0, compiled (4 minutes on 2 cores)")
        self.assertRegex(last, r"^setup: kernel is done in \d s$")
        install = f"install --quiet --locked --force --root {self.home} --target-dir {self.home}/build evcxr_jupyter --version 0.22.0"
        install += f" --config {setup.KERNEL_SETTINGS}"
        self.assertEqual(self.called(), [install])
        self.assertRegex(self.stamp("kernel").read_text(), r"^0\.22\.0 [0-9a-f]{64}\n$")
        self.assertEqual(self.set_up("kernel"), (0, ""))
        self.assertEqual(self.called(), [])
        self.stamp("kernel").write_text("0.21.0\n")
        self.set_up("kernel")
        self.assertEqual(self.called(), [install])

    def test_a_part_that_fails_has_the_status_of_what_failed_and_no_stamp(self) -> None:
        self.set_up("kernel")
        self.stamp("kernel").write_text("0.21.0\n")
        self.cargo("echo no network >&2; exit 101")
        status, errors = self.set_up("kernel")
        self.assertEqual(status, 101)
        self.assertIn("no network\nerror: setup failed at: the kernel evcxr_jupyter", errors)
        self.assertIn(f"about 3 GB of disk in {self.home}. Run the same command again", errors)
        self.assertFalse(self.stamp("kernel").exists())

    def test_a_name_that_is_no_part_is_refused_before_anything_is_made(self) -> None:
        status, errors = self.set_up("kernel", "kernle")
        self.assertEqual(status, 1)
        self.assertTrue(errors.startswith("error: there is no part kernle: python, kernel, model, seed, seed_check,"), errors)
        self.assertTrue(errors.endswith("nvrtc or gpu_python\n"), errors)
        self.assertEqual(self.called(), [])

    def test_what_is_missing_is_named(self) -> None:
        self.program("bin/python3", "exit 1")
        self.assertIn("error: Python 3.11 or later with venv is missing", self.set_up("kernel")[1])
        bare = self.folder / "bare"
        bare.mkdir()
        for name in ["bash", "dirname", "env"]:
            path = subprocess.run(["which", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            (bare / name).symlink_to(path)
        self.environment["PATH"] = str(bare)
        self.assertIn("error: cargo is missing: install Rust", self.set_up("kernel")[1])
        (bare / "cargo").symlink_to(self.folder / "bin/cargo")
        self.assertIn("error: a C compiler is missing: install gcc", self.set_up("kernel")[1])

    def test_a_part_that_is_made_from_another_says_which(self) -> None:
        status, errors = self.set_up("bfcl_runner")
        self.assertEqual(status, 1)
        self.assertIn("error: this part needs the part bfcl, which is missing: run scripts/setup.sh bfcl\n", errors)

    def test_one_waits_for_the_other(self) -> None:
        with open(self.home / "lock", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = self.start(SCRIPTS / "setup.sh", "kernel")
            self.assertEqual(process.stderr.readline(), f"setup: waiting for another setup in {self.home}\n")
            self.assertEqual(self.called(), [])
        process.communicate()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(self.called()), 1)

    def test_what_a_killed_setup_has_started_still_keeps_others_out(self) -> None:
        gate = self.folder / "gate"
        os.mkfifo(gate)
        self.cargo(f"[ ! -p {gate} ] || cat {gate}")  # waits until it has been opened
        first = self.start(SCRIPTS / "setup.sh", "kernel")
        self.wait_until(self.calls.exists, "cargo was not started")
        first.kill()
        second = self.start(SCRIPTS / "setup.sh", "model-of-nobody")
        self.assertEqual(second.wait(), 1)  # refused without the lock
        second = self.start(SCRIPTS / "setup.sh", "kernel")
        self.assertIn("waiting for another", second.stderr.readline())
        opened = os.open(gate, os.O_WRONLY)
        gate.unlink()
        os.close(opened)
        second.communicate()
        self.assertEqual(second.returncode, 0)

    def test_an_interrupt_ends_it_as_one_and_is_called_one(self) -> None:
        self.cargo("exec sleep 60")
        process = self.start(SCRIPTS / "setup.sh", "kernel")
        self.wait_until(self.calls.exists, "cargo was not started")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertEqual(errors.count("error: "), 1, errors)
        self.assertIn("error: setup was interrupted.", errors)
        self.assertNotIn("Traceback", errors)


class SideBySide(SetUp):
    """The part gpu_python represents the downloaded parts: a variable names the program that makes it."""

    BOTH = ["gpu_python", "kernel"]

    def fetch(self, code: str) -> None:
        """The code runs when the virtual environment is made; its pip does nothing."""
        made = f'touch {self.folder}/fetching\n{code}\nmkdir -p "$4/bin"\necho "#!/bin/sh" >"$4/bin/pip"\nchmod +x "$4/bin/pip"'
        self.environment["PYTHON312"] = str(self.program("fetch", made))

    def waits_for(self, file: str) -> str:
        return f"for i in $(seq 200); do [ -e {self.folder}/{file} ] && break; sleep 0.1; done; [ -e {self.folder}/{file} ]"

    def test_what_is_fetched_is_made_beside_what_is_compiled(self) -> None:
        self.fetch(f"{self.waits_for('calls')} || exit 1")
        self.cargo(self.waits_for("fetching"))
        status, errors = self.set_up(*self.BOTH)
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, r"setup: gpu_python is done in \d+ s\n")
        self.assertRegex(errors, r"setup: kernel is done in \d+ s\n")
        self.assertTrue(self.stamp("gpu_python").exists() and self.stamp("kernel").exists())

    def test_the_first_that_fails_ends_the_other_and_is_the_one_that_is_named(self) -> None:
        for fetches, compiles, code, named in [
            (f"{self.waits_for('calls')}; exit 3", "exec sleep 60", 3, "PyTorch with CUDA"),
            ("exec sleep 60", f"{self.waits_for('fetching')}; exit 101", 101, "the kernel evcxr_jupyter"),
        ]:
            self.fetch(fetches)
            self.cargo(compiles)
            status, errors = self.set_up(*self.BOTH)
            self.assertEqual(status, code, errors)
            self.assertEqual(errors.count("error: "), 1, errors)
            self.assertIn(f"error: setup failed at: {named}", errors)
            self.assertFalse(self.stamp("gpu_python").exists() or self.stamp("kernel").exists())
            self.called()

    def test_an_interrupt_ends_both(self) -> None:
        self.fetch("exec sleep 60")
        for compiles in ["exec sleep 60", "true"]:  # `true`: only the download is waited for
            self.cargo(compiles)
            process = self.start(SCRIPTS / "setup.sh", *self.BOTH)
            fetching, done = self.folder / "fetching", self.stamp("kernel")
            self.wait_until(lambda: fetching.exists() and (self.calls.exists() if compiles != "true" else done.exists()), "no start")
            if compiles == "true":
                os.kill(process.pid, signal.SIGINT)
            else:
                os.killpg(process.pid, signal.SIGINT)  # their commands too, as a terminal does
            _, errors = process.communicate()
            self.assertEqual(process.returncode, -signal.SIGINT)
            self.assertEqual(errors.count("error: "), 1, errors)
            self.assertIn("error: setup was interrupted.", errors)
            self.assertNotIn("Traceback", errors)
            fetching.unlink()


class Seed(SetUp):
    def setUp(self) -> None:
        super().setUp()
        self.cargo(
            'debug="$CARGO_TARGET_DIR/some-host/debug"\n'
            'mkdir -p "$debug/.fingerprint/ctx-1" "$debug/.fingerprint/candle-1" "$debug/incremental/ctx-1" "$debug/deps"\n'
            'echo "$PWD $RUSTFLAGS $CARGO_TARGET_DIR" >>"$CARGO_TARGET_DIR/../where"\n'
            'touch "$debug/deps/libctx-1.so" "$debug/deps/libcandle-1.rlib"'
        )

    def test_the_dependencies_are_built_for_the_cells_and_the_crate_of_the_cells_is_not_kept(self) -> None:
        status, errors = self.set_up("seed", "seed_check")
        self.assertEqual(status, 0, errors)
        seed = self.home / "seed"
        self.assertEqual(self.called(), [f"{command} --quiet --target some-host" for command in ["build", "check"]])
        where = f"{seed}/ctx -Cprefer-dynamic {seed}/target"
        self.assertEqual((seed / "where").read_text().splitlines(), [where, where])
        for crate in ["ctx", "keep"]:
            library = f'toolcall_lib = {{ path = "{ROOT}/toolcall_lib", default-features = false, features = ["cuda"] }}'
            manifest = f'[package]\nname = "{crate}"\nversion = "1.0.0"\nedition = "2024"\n[dependencies]\n{library}\n'
            self.assertEqual((seed / crate / "Cargo.toml").read_text(), manifest)
            self.assertTrue((seed / crate / "src/lib.rs").exists())
        self.assertEqual((seed / "Cargo.lock").read_bytes(), (ROOT / "Cargo.lock").read_bytes())
        debug = seed / "target/some-host/debug"
        left = {str(path.relative_to(debug)) for path in debug.rglob("*")}
        self.assertEqual(left, {".fingerprint", ".fingerprint/candle-1", "incremental", "deps", "deps/libcandle-1.rlib"})

    def test_the_pin_changes_with_a_source_and_with_the_compiler(self) -> None:
        for name in ["Cargo.lock", "scripts/kernel/Cargo.toml", "toolcall_lib/src/lib.rs"]:
            file = self.folder / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        with mock.patch.multiple(setup, ROOT=self.folder / "root", rustc=lambda: "rustc 1.90.0\n"):
            first = setup.seed_pin()
            self.assertEqual(setup.seed_pin(), first)
            with mock.patch.object(setup, "rustc", lambda: "rustc 1.91.0\n"):
                self.assertNotEqual(setup.seed_pin(), first)
            os.utime(self.folder / "root/toolcall_lib/src/lib.rs", ns=(1, 1))
            self.assertNotEqual(setup.seed_pin(), first)

    def test_another_compiler_begins_from_nothing(self) -> None:
        self.set_up("seed")
        (self.home / "seed/old").touch()
        self.stamp("seed").unlink()
        self.set_up("seed")
        self.assertTrue((self.home / "seed/old").exists())
        (self.folder / "version").write_text("rustc 1.91.0\nhost: some-host\n")
        self.assertIn("toolcall_lib for the notebooks", self.set_up("seed")[1])
        self.assertFalse((self.home / "seed/old").exists())
        self.assertEqual((self.home / "seed/rustc").read_text(), "rustc 1.91.0\nhost: some-host\n")


if __name__ == "__main__":
    unittest.main()
