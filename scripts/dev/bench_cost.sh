#!/usr/bin/env bash
# Measures how the cost of training grows with rows, batch, length and tools, with a small random model. Not part of scripts/check.
# usage: scripts/dev/bench_cost.sh [rows|batch|length|tools ...]     default: all (about 6 minutes)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

"$root/scripts/setup.sh" model
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin toolcall --example random_model
programs="$root/target/release"

# the default model's tokenizer and template, with the shape of small.json
folder="$root/out/bench/models/small"
"$programs/toolcall" export --model "$default_model" --out "$folder"
cp "$root/scripts/dev/bench/small.json" "$folder/config.json"
"$programs/examples/random_model" "$folder"
TOOLCALL="$programs/toolcall" exec python3 "$root/scripts/dev/bench/cost.py" --model "$folder" --out "$root/out/bench/cost" "$@"
