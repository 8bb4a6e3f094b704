"""Paths of the project, and the locks on them. env.sh has the same paths for the shell scripts."""

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("TOOLCALL_HOME") or ROOT / ".toolcall").absolute()  # all that setup.py fetches and builds
DEFAULT_MODEL = HOME / "models/SmolLM2-135M-Instruct.gguf"


def fail(reason: str) -> NoReturn:
    sys.exit(f"error: {reason}")


def lock(file: Path, busy: Callable[[], None] = lambda: None) -> IO:
    """Waits until no other process holds the file, and calls `busy` first if one does. The lock lasts until the returned file is closed in
    this process and in all that have inherited it."""
    opened = open(file, "a")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        busy()
        fcntl.flock(opened, fcntl.LOCK_EX)
    return opened
