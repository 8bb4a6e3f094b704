#!/usr/bin/env bash
# Starts the Jupyter kernel "Rust (toolcall)"; Jupyter calls it with the arguments of kernel.json (see setup.py). start_kernel.py does
# the work.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
run_python start_kernel.py "$@"
