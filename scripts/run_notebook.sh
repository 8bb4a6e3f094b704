#!/usr/bin/env bash
# Runs a notebook without a browser and shows what its cells print while they run.
# usage: scripts/run_notebook.sh NOTEBOOK [--model MODEL] [--out FILE]
#   --model  the model that the notebook works with: a folder, a GGUF file or a hub id such as Qwen/Qwen3-0.6B
#            (default: $TOOLCALL_MODEL, else SmolLM2-135M-Instruct)
#   --out    where the executed notebook goes (default: out/NOTEBOOK)
# The first use sets up everything that is missing. Ctrl-C ends the running cell after its step and writes the outputs so far.
# Exit code: 0 when all cells ran, 1 when one failed, 130 after Ctrl-C.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

case "${1:-}" in '' | -*) sed -n "2,8s/^# //p" "$0" && exit 2 ;; esac
[ -f "$1" ] || fail "there is no notebook $1"
"$root/scripts/setup.sh" python kernel seed
exec "$home/python/bin/python" "$root/scripts/run_notebook.py" "$@"
