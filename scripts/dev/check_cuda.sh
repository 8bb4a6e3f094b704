#!/usr/bin/env bash
# Compiles every CUDA kernel with NVIDIA's run-time compiler, which it fetches once; needs no GPU. See check_cuda.py.
# usage: scripts/dev/check_cuda.sh [ARCH ...]     default: sm_80 sm_90
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
"$root/scripts/setup.sh" nvrtc
LD_LIBRARY_PATH="$home/nvrtc/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec python3 "$root/scripts/dev/check_cuda.py" "$@"
