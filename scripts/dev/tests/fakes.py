"""A folder with fake programs, for tests of the scripts that users run."""

import os
import signal
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]


class Place(unittest.TestCase):
    """Each test has an empty TOOLCALL_HOME, and a folder `bin` whose programs go before all others."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.environment = {**os.environ, "TOOLCALL_HOME": str(self.home), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        for name in ["TOOLCALL_MODEL", "TOOLCALL_HEADLESS", "RAYON_NUM_THREADS", "MASTER_PORT", "TOOLCALL_RANKS_SECRET"]:
            self.environment.pop(name, None)
        # env.sh puts the compiler's own folder first
        self.program(
            "bin/rustc",
            f'case "$1" in --print) echo {self.folder} ;; *) cat {self.folder}/version ;; esac',
        )
        (self.folder / "version").write_text("rustc 1.90.0\nhost: some-host\n")

    def program(self, name: str, code: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{code}\n")
        file.chmod(0o755)
        return file

    def start(self, *command: object) -> subprocess.Popen:
        """Starts a program in its own session, with pipes for its output. Neither it nor its children outlive the test."""
        options = {"cwd": self.folder, "env": self.environment, "text": True, "start_new_session": True}
        options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([str(word) for word in command], **pipes, **options)
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen) -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()

    def wait_until(self, holds: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 20
        while not holds():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.01)
