#!/usr/bin/env bash
# Runs a third-party client against the server: the program of the Berkeley Function Calling Leaderboard, through to its score.
# `toolcall eval` answers the same rows, as the program sends them, with the same settings; the check ends with an error if
# one call or one verdict differs. Prints the score on the leaderboard's own rows too. Not part of scripts/check.
# usage: scripts/dev/verify_serve_bfcl.sh [MODEL [ROWS [CATEGORY]]]
# default: the default model, all rows, simple_python; another category must be one of Python that has answers, such as multiple
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/server.sh"
cd "$root"

model="${1:-$default_model}"
rows="${2:-all}"
category="${3:-simple_python}"
most=512 # tokens of a reply, as `toolcall eval --bfcl` has it

scripts/setup.sh bfcl bfcl_runner
[ $# -gt 0 ] || scripts/setup.sh model
build_toolcall
out="$root/out/verify_serve_bfcl"
rm -rf "$out" && mkdir -p "$out"
bfcl() { "$home/bfcl_runner/bin/python" scripts/dev/verify/serve_bfcl.py "$@"; }
export BFCL_PROJECT_ROOT="$out" PYTHONIOENCODING=utf-8 OPENAI_API_KEY=none

which=(--test-category "$category") of=() first=()
if [ "$rows" != all ]; then
    [ "$rows" -ge 2 ] || fail "ROWS is $rows; the program takes 2 or more"
    which=(--run-ids) of=(--partial-eval) first=(--rows "$rows")
    bfcl ids "$category" "$rows" "$out/test_case_ids_to_generate.json"
fi

echo "== bfcl asks the server"
start_server server --model "$model" --max-tokens "$most"
export OPENAI_BASE_URL="$url/v1"
bfcl bfcl generate --model toolcall "${which[@]}" --temperature 0 --num-threads 32 --include-input-log
bfcl bfcl evaluate --model toolcall --test-category "$category" ${of[@]+"${of[@]}"}
end_server server

echo "== toolcall eval"
bfcl rows "$category" "$out" "$out/sent"
evaluate() { # DATA; with the settings of the server
    "$toolcall" eval --model "$model" --bfcl "$category" --bfcl-data "$1" ${first[@]+"${first[@]}"} --constrained --max-new-tokens "$most" --json
}
evaluate "$out/sent" >"$out/sent.json"
evaluate "$(echo "$home"/bfcl/*.whl)" >"$out/own.json"
bfcl compare "$category" "$out" "$out/sent.json" "$out/own.json"
echo "verify: all is well"
