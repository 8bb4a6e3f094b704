#!/usr/bin/env bash
# Checks our verdicts on the rows of the Berkeley Function Calling Leaderboard against those of its
# own AST checker: on tens of thousands of generated calls, right ones and spoilt ones, and
# on a model's replies. Ends with an error if one verdict differs, or if something of the
# leaderboard is in our data. Not part of scripts/check.
# usage: scripts/dev/verify_bfcl.sh [MODEL [ROWS [CATEGORY...]]]
# default: the default model, the first 25 rows of each category
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

model="${1:-$default_model}"
rows="${2:-25}"
categories=("${@:3}")
[ ${#categories[@]} -gt 0 ] || categories=(all)
out="$root/out/verify"
python="$home/bfcl/python/bin/python"

scripts/setup.sh bfcl
[ $# -gt 0 ] || scripts/setup.sh model
wheel="$(echo "$home"/bfcl/*.whl)"
if ! "$python" -c 'import bfcl_eval, filelock' 2>/dev/null; then
    # without the client libraries of all vendors, which its checker does not use
    python3 -m venv --clear "$home/bfcl/python"
    "$home/bfcl/python/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "$wheel" filelock==4.3.1
fi
cargo build --quiet --release --bin toolcall --example bfcl_check
mkdir -p "$out"

echo "== nothing of the leaderboard in our data, nor in 40,000 rows made from the lists"
rm -f "$out/made.json"
target/release/toolcall data --mixture general --rows 40000 --seed 5 --out "$out/made.json"
python3 scripts/dev/verify/bfcl_data.py "$wheel" data/*.json "$out/made.json"

echo "== generated calls"
"$python" scripts/dev/verify/bfcl.py made target/release/examples/bfcl_check "$wheel"

echo "== replies of $model"
target/release/toolcall eval --model "$model" --bfcl "${categories[@]}" --bfcl-data "$wheel" \
    --rows "$rows" --json >"$out/bfcl.json"
"$python" scripts/dev/verify/bfcl.py replies "$out/bfcl.json"
echo "verify: all is well"
