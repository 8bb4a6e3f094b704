#!/usr/bin/env bash
# Opens JupyterLab in the browser, ready for the notebooks. The first use sets up everything that is missing.
# usage: scripts/lab.sh [NOTEBOOK] [options of `jupyter lab`, such as --no-browser --port 9000]
# TOOLCALL_MODEL replaces the default model: a folder, a GGUF file or a hub id such as Qwen/Qwen3-0.6B.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

parts=(python kernel seed seed_check)
if [ -z "${TOOLCALL_MODEL:-}" ]; then
    parts+=(model)
elif [ -e "$TOOLCALL_MODEL" ]; then
    # the kernels run in the folders of their notebooks
    TOOLCALL_MODEL="$(python3 -c 'import os, sys; print(os.path.realpath(sys.argv[1]))' "$TOOLCALL_MODEL")"
    export TOOLCALL_MODEL
fi
"$root/scripts/setup.sh" "${parts[@]}"
[ $# -gt 0 ] || set -- "$root/notebooks/train.ipynb"
exec "$home/python/bin/jupyter" lab --ServerApp.root_dir="$root" "$@"
