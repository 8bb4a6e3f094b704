"""Starts the Jupyter kernel "Rust (toolcall)" for kernel.sh.

Each kernel compiles in its own folder: two in one folder would overwrite each other's cells. The folder is removed when the kernel and
all processes that it started have ended, however they end: until then they hold a lock that they have inherited.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from places import DEFAULT_MODEL, HOME, ROOT, fail, lock

PROGRAM, SEED, KERNELS = HOME / "bin/evcxr_jupyter", HOME / "seed", HOME / "kernels"


def main(arguments: list[str]) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback
    KERNELS.mkdir(parents=True, exist_ok=True)
    with lock(HOME / "lock"):  # not while setup.py changes the seed
        for part, needed in {"kernel": PROGRAM, "seed": SEED / "target"}.items():
            if not needed.exists():
                fail(f"{needed} is missing: run scripts/setup.sh {part}")
        remove_old()
        work = Path(tempfile.mkdtemp(prefix="", dir=KERNELS))
        held = lock(work / "lock")
        remove_at_the_end(work)
        copy_seed(work)
    os.environ |= environment(work)
    os.set_inheritable(held.fileno(), True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # An interrupt is for the handler that toolcall_lib installs, not for the kernel, which would forget all variables.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for changed in [signal.SIGPIPE, signal.SIGXFSZ]:  # by Python; child processes would inherit that
        signal.signal(changed, signal.SIG_DFL)
    os.execv(PROGRAM, [str(PROGRAM), *arguments])


def remove_old() -> None:
    """Removes the folders of kernels that were killed together with the process that should have removed them."""
    for old in KERNELS.iterdir():
        try:
            with open(old / "lock", "a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
        except OSError:  # in use, or gone meanwhile
            pass


def remove_at_the_end(work: Path) -> None:
    """Starts a process that removes the folder. In its own session it outlives a kernel that is killed with its group."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, __file__, "--remove", work], start_new_session=True, **quiet)


def remove(work: Path) -> None:
    with lock(work / "lock"):
        shutil.rmtree(work, ignore_errors=True)


def copy_seed(work: Path) -> None:
    """Hard links cost no time and no disk. Files that cargo and evcxr overwrite in place must be copies, or one kernel would change the
    seed and with it all other kernels: the manifests, and the files of toolcall_lib, whose sources may change."""
    for file in ["Cargo.toml", "Cargo.lock"]:
        shutil.copy(SEED / file, work)
    for crate in ["ctx", "keep"]:
        shutil.copytree(SEED / crate, work / crate, copy_function=shutil.copy)
    target = SEED / "target"

    def place(source: str, to: str) -> None:
        own = "toolcall" in os.path.relpath(source, target) or os.path.basename(source) == ".rustc_info.json"
        shutil.copy2(source, to) if own else os.link(source, to)

    without = shutil.ignore_patterns(".cargo-lock")
    shutil.copytree(target, work / "ctx/target", symlinks=True, ignore=without, copy_function=place)


def environment(work: Path) -> dict[str, str]:
    """The environment of the kernel and its cells."""
    model = os.environ.get("TOOLCALL_MODEL") or str(DEFAULT_MODEL)
    if os.path.exists(model):  # relative to the notebooks, which is the same for every user
        model = os.path.relpath(os.path.realpath(model), os.path.realpath("."))
    return {
        "TOOLCALL_MODEL": model,
        "EVCXR_TMPDIR": str(work / "ctx"),
        "EVCXR_CONFIG_DIR": str(ROOT / "scripts/kernel" / ("headless" if os.environ.get("TOOLCALL_HEADLESS") else "")),
        "RUST_LIB_BACKTRACE": "0",  # evcxr asks for backtraces; they only bury the message of an error
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--remove"]:
        remove(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
