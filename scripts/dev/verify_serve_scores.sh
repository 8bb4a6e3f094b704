#!/usr/bin/env bash
# Checks that a model scores over the server what it scores in `toolcall eval --constrained`: the official `openai` Python package
# asks for every assistant turn of some rows, with the row's own messages before it. Ends with an error if one count differs, or
# if other turns are wrong. Not part of scripts/check.
# usage: scripts/dev/verify_serve_scores.sh [MODEL [DATA [ROWS]]]
# default: the default model, data/tool_heldout.json, all of its rows
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/server.sh"
cd "$root"

model="${1:-$default_model}"
data="${2:-data/tool_heldout.json}"
first=(${3:+--rows "$3"})

scripts/setup.sh openai
[ $# -gt 0 ] || scripts/setup.sh model
build_toolcall
out="$root/out/verify_serve_scores"
rm -rf "$out" && mkdir -p "$out"

echo "== toolcall eval"
"$toolcall" eval --model "$model" --data "$data" ${first[@]+"${first[@]}"} --constrained --json >"$out/evaluation.json"
echo "== the openai package"
start_server server --model "$model"
"$home/openai/bin/python" scripts/dev/verify/serve_scores.py "$url/v1" "$data" "$out/evaluation.json" ${first[@]+"${first[@]}"}
end_server server
echo "verify: all is well"
