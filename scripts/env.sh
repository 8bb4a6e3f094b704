# Where things are. Every script of this folder reads it; nothing is written outside of these places.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
home="${TOOLCALL_HOME:-$root/.toolcall}" # all that setup.sh fetches and builds
case "$home" in /*) ;; *) home="$PWD/$home" ;; esac
export TOOLCALL_HOME="$home"
default_model="$home/models/SmolLM2-135M-Instruct.gguf"

# Jupyter keeps its settings and its running servers here instead of in the user's home.
export JUPYTER_CONFIG_DIR="$home/jupyter/config" JUPYTER_DATA_DIR="$home/jupyter/data"
export JUPYTER_RUNTIME_DIR="$home/jupyter/runtime" IPYTHONDIR="$home/jupyter/ipython"

# The compiler itself, without rustup's proxies in front of it: each cell starts it several times.
if command -v rustc >/dev/null; then PATH="$(rustc --print sysroot)/bin:$PATH"; fi
unset CARGO_ENCODED_RUSTFLAGS # it would win over the flags of the notebook kernel

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}
