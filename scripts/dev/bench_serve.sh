#!/usr/bin/env bash
# Compares how fast our server and llama.cpp's answer with tool calls on this machine: the same weights, prompts and schemas, in
# turns. Not part of scripts/check.
# usage: scripts/dev/bench_serve.sh [MODEL] [--quick] [--dtype q8_0] [--json FILE]
# Default: the default model. --help lists the options and describes the measurement.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/server.sh"

model="$default_model"
case "${1:-}" in "" | -*) "$root/scripts/setup.sh" model ;; *) model="$1" && shift ;; esac
"$root/scripts/setup.sh" llama_cpp llama_cpp_server
build_toolcall
work="$root/out/bench/serve"
mkdir -p "$work"
export TOOLCALL="$toolcall"
exec "$home/llama_cpp/bin/python" "$root/scripts/dev/bench/serve.py" --model "$model" --work "$work" "$@"
