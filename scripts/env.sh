# Paths of the project for the shell scripts, which source it; nothing is written outside of them. places.py has them for Python.
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

# Continues as a Python program of this folder. The Python of macOS is too old.
run_python() { # FILE ARGUMENT...
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "Python 3.11 or later with venv is missing (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)"
    local file="$1"
    shift
    exec python3 "$root/scripts/$file" "$@"
}
