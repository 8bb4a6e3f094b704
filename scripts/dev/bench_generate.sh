#!/usr/bin/env bash
# Compares how fast we read prompts, write tokens and call tools with llama.cpp and transformers on this machine: the same weights
# and prompts, in turns. Not part of scripts/check.
# usage: scripts/dev/bench_generate.sh [MODEL] [--quick] [--isa avx2] [--data FILE] [--json FILE]
# Default: the default model and data/tool_augmented_dataset.json. --help lists the options.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

model="$default_model"
case "${1:-}" in "" | -*) "$root/scripts/setup.sh" model ;; *) model="$1" && shift ;; esac
parts="reference llama_cpp"
case " $* " in *" --isa avx2 "*) parts="reference llama_cpp_avx2" ;; esac
"$root/scripts/setup.sh" $parts
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin toolcall --example decode_speed
export TOOLCALL="$root/target/release/toolcall" DECODE_SPEED="$root/target/release/examples/decode_speed"
export LLAMA_CPP_HOME="$home"

models="$root/out/bench/generate"
mkdir -p "$models"
"$TOOLCALL" export --model "$model" --out "$models/f32" >/dev/null
for dtype in bf16 f16 q8_0 q4_0; do
    "$TOOLCALL" export --model "$model" --out "$models/$dtype.gguf" --dtype "$dtype" >/dev/null
done
exec "$home/reference/bin/python" "$root/scripts/dev/bench/generate.py" --models "$models" \
    --data "$root/data/tool_augmented_dataset.json" "$@"
