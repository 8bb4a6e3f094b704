"""Describes the machine, and measures how fast it multiplies matrices."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

BENCH = Path(__file__).parent
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Limits every engine to these instructions, as on an older processor; PyTorch multiplies f32 with MKL.
LIMITS = {
    "avx2": {
        "TOOLCALL_MAX_CPU_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
}


def describe(packages: tuple[str, ...] = ("torch", "transformers", "trl")) -> str:
    """Processor, cores, memory and versions of Python packages, in one line."""
    info = Path("/proc/cpuinfo").read_text()
    field = {name: value for name, value in re.findall(r"^([\w ]+?)\s*: (.*)$", info, re.MULTILINE)}
    known = [name for name in INSTRUCTIONS if name in field.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0))
    model = field.get("model name", "unknown processor")
    if limit := os.environ.get("TOOLCALL_MAX_CPU_ISA"):
        model += f" limited to {limit}"
    return f"{model} ({' '.join(known)}), {cores} cores, {memory:.0f} GiB; {versions}"


def gemm_peaks() -> dict[str, dict[str, float]]:
    """GFLOP/s of large products by engine and precision."""
    engines = {"toolcall": [os.environ["GEMM_PEAK"]], "torch": [sys.executable, BENCH / "torch_peak.py"]}
    return {name: json.loads(subprocess.check_output(command)) for name, command in engines.items()}
