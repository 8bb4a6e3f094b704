"""Compiles every CUDA kernel as the library does at run time, and prints the resources that each takes. Needs no GPU.

usage: scripts/dev/check_cuda.sh [ARCH ...]     default: sm_80 sm_90
A kernel that does not compile, or whose registers spill to memory, is an error.
"""

import ctypes
import re
import sys
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent.parent / "toolcall_lib" / "src" / "cuda" / "kernels"
COMMON = ("common.cuh", "rows.cuh")  # what every module begins with: kernels/mod.rs


def compile_source(nvrtc, name, source, arch):
    """Compiles CUDA C; returns whether it compiled, and the compiler's log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
    options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status == 0, log.value.decode()


def resources(log):
    """(kernel, registers, bytes of static shared memory, bytes spilled) of every kernel in a log of `ptxas -v`."""
    for part in re.split(r"Function properties for ", log)[1:]:
        kernel = part.split(None, 1)[0]
        registers = re.search(r"Used (\d+) registers", part)
        spilled = sum(int(count) for count in re.findall(r"(\d+) bytes spill", part))
        shared = re.search(r"(\d+) bytes smem", part)
        yield kernel, int(registers[1]) if registers else 0, int(shared[1]) if shared else 0, spilled


def check(nvrtc, path, arch):
    """Prints the kernels of a module and returns its problems."""
    source = "\n".join((KERNELS / name).read_text() for name in COMMON) + f'\n#line 1 "{path.name}"\n' + path.read_text()
    compiled, log = compile_source(nvrtc, path.name, source, arch)
    if not compiled:
        return [f"{path.name} for {arch}:\n{log}"]
    found = list(resources(log))
    for kernel, registers, shared, spilled in sorted(found):
        print(f"{arch}  {kernel:<42} {registers:>9} {shared:>7} {spilled:>7}")
    registered = set(re.findall(r"^KERNEL\((\w+)\)$", path.read_text(), re.M))
    lost = registered ^ {kernel for kernel, *_ in found if "__" not in kernel}
    problems = [f"{path.name}: {kernel} is not both a kernel and in a KERNEL line" for kernel in sorted(lost)]
    return problems + [f"{kernel} for {arch} spills {spilled} bytes" for kernel, _, _, spilled in found if spilled]


def main(architectures):
    nvrtc = ctypes.CDLL("libnvrtc.so.13")
    print(f"{'':<6} {'kernel':<42} {'registers':>9} {'shared':>7} {'spilled':>7}")
    problems = []
    for arch in architectures or ["sm_80", "sm_90"]:
        for path in sorted(KERNELS.glob("*.cu")):
            problems += check(nvrtc, path, arch)
    print("\n".join(problems) or "every kernel compiles", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
