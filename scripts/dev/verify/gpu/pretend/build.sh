#!/usr/bin/env bash
# Builds libraries that pretend that the host is a GPU: libcuda, libcublasLt and libnccl, with the kernels of the emulation. Linux only.
# usage: build.sh FOLDER      needs a C++ compiler; unchanged files are not built again
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cuda="$here/../../../../../toolcall_lib/src/cuda"
out="$1"
sources=("$here"/*.[ch]pp "$cuda"/emulate/emulate.hpp "$cuda"/kernels/*.cu*)
stamp="$(cat "${sources[@]}" "$0" | sha256sum)"
[ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

mkdir -p "$out/objects"
rm -f "$out/stamp"
compile() { # NAME SOURCE
    "${CXX:-c++}" -std=c++17 -O3 -march=native -fPIC -U_FORTIFY_SOURCE -Wall -Werror -Wno-unknown-pragmas -Wno-unused-function \
        -I"$cuda/emulate" -I"$here" -c -o "$out/objects/$1.o" "$2"
}
for kernels in "$cuda"/kernels/*.cu; do # a module as kernels/mod.rs puts it together
    name="$(basename "$kernels" .cu)"
    {
        printf '#define EMULATED\n#include "emulate.hpp"\n'
        cat "$cuda/kernels/common.cuh" "$cuda/kernels/rows.cuh"
        printf '#line 1 "%s.cu"\n' "$name"
        cat "$kernels"
    } >"$out/objects/$name.cpp"
done
for name in cuda cublaslt nccl; do cp "$here/$name.cpp" "$out/objects/"; done
export -f compile
export out cuda here
printf '%s\n' "$out"/objects/*.cpp | xargs -P "$(nproc)" -I{} bash -euc 'compile "$(basename {} .cpp)" {}'

link() { # LIBRARY OBJECTS... [FLAGS...]
    "${CXX:-c++}" -shared -o "$out/$1" -Wl,-soname,"$1" "${@:2}"
}
others=("$out"/objects/cublaslt.o "$out"/objects/nccl.o)
mapfile -t kernels < <(printf '%s\n' "$out"/objects/*.o | grep -vxF "$(printf '%s\n' "${others[@]}")")
link libcuda.so.1 "${kernels[@]}"
for library in libcublasLt.so.13:cublaslt libnccl.so.2:nccl; do
    link "${library%:*}" "$out/objects/${library#*:}.o" -L"$out" -l:libcuda.so.1 -Wl,-rpath,'$ORIGIN'
done
printf '%s' "$stamp" >"$out/stamp"
