#!/usr/bin/env bash
# Sets up what the notebooks need, all of it inside .toolcall (or $TOOLCALL_HOME): nothing is installed elsewhere.
# usage: scripts/setup.sh [python|kernel|model|seed|seed_check|bfcl|bfcl_runner|schemas|openai|trackers|hub|reference|llama_cpp|llama_cpp_avx2|llama_cpp_server|nvrtc|gpu_python ...]
# default: everything that the notebooks need
# `seed_check` is for JupyterLab. `bfcl` has the rows of the Berkeley Function Calling Leaderboard, for `toolcall eval --bfcl`, and
# `bfcl_runner` its own program. `schemas`, `openai`, `hub` and `trackers` are for scripts/dev/verify_schemas.sh, verify_serve.sh,
# verify_hub.sh and verify_trackers.sh. `reference` (PyTorch, transformers, TRL) and `llama_cpp…` (llama.cpp and its server) are the
# references of our checks and measurements. `nvrtc` compiles CUDA kernels, for scripts/dev/check_cuda.sh; `gpu_python` is for the
# rehearsals of scripts/dev/verify_gpu.sh.
# The other scripts call it; a part that is installed in its pinned version is kept. setup.py does the work.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.90 or later with rustup (https://rustup.rs)"
command -v cc >/dev/null ||
    fail "a C compiler is missing: install gcc or clang (Debian, Ubuntu: apt-get install gcc libc6-dev; macOS: xcode-select --install)"
run_python setup.py "$@"
