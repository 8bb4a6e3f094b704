#!/usr/bin/env bash
# Checks a real model against transformers, PEFT and PyTorch: the losses of five AdamW steps in two loss modes, logits, greedy
# text, a LoRA adapter, that transformers and llama.cpp load what we save, and that our products with packed weights are no less
# exact than llama.cpp's. Not part of scripts/check.
# usage: scripts/dev/verify_real.sh [MODEL [DATA]]     default: the default model and data/tool_augmented_dataset.json
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

model="${1:-$default_model}"
data="${2:-data/tool_augmented_dataset.json}"
out="$root/out/verify"
python="$home/reference/bin/python"
export TOOLCALL="$root/target/debug/toolcall" TQDM_DISABLE=1

scripts/setup.sh reference
[ $# -gt 0 ] || scripts/setup.sh model
cargo build --quiet --bin toolcall --example logits
mkdir -p "$out"

for loss in all assistant; do
    echo "== five steps, trained on: $loss"
    cat >"$out/config.json" <<JSON
{ "loss": "$loss", "max_steps": 5, "learning_rate": 2e-5, "warmup_steps": 0, "shuffle": false, "bf16": false }
JSON
    "$TOOLCALL" train --model "$model" --data "$data" --out "$out/$loss" --config "$out/config.json"
    "$python" scripts/dev/verify/rows.py --model "$model" --data "$data" --loss "$loss" --out "$out/rows.json"
    "$python" scripts/dev/verify/five_steps.py --model "$model" --rows "$out/rows.json" --schedule-steps 5 \
        --out "$out/losses_$loss.json" --ours "$out/$loss/train_report.json"
done

for checked in "$model" "$out/assistant"; do
    echo "== logits and greedy text: $checked"
    cargo run --quiet --example logits -- "$checked" "$data" 0 "$out/logits.safetensors"
    "$python" scripts/dev/verify/logits.py --model "$checked" --ours "$out/logits.safetensors"
done

echo "== a LoRA adapter in PEFT, and merged in transformers"
cat >"$out/config.json" <<JSON
{ "max_steps": 3, "bf16": false }
JSON
"$TOOLCALL" train --model "$model" --data "$data" --out "$out/lora" --recipe lora --config "$out/config.json"
"$TOOLCALL" export --model "$out/lora" --out "$out/lora_merged"
cargo run --quiet --example logits -- "$out/lora" "$data" 0 "$out/logits.safetensors"
"$python" scripts/dev/verify/adapter.py --adapter "$out/lora" --ours "$out/logits.safetensors" --merged "$out/lora_merged"

echo "== the saved folder in transformers"
"$python" scripts/dev/verify/save_load.py --model "$out/assistant" --data "$data"

echo "== an exported GGUF file in llama.cpp"
scripts/setup.sh llama_cpp
"$TOOLCALL" export --model "$out/assistant" --out "$out/assistant.gguf" --dtype f16
cargo run --quiet --example logits -- "$out/assistant" "$data" 0 "$out/logits.safetensors"
"$home/llama_cpp/bin/python" scripts/dev/verify/export.py --gguf "$out/assistant.gguf" --ours "$out/logits.safetensors"
for dtype in q8_0 q4_0 q4_k_m; do
    "$TOOLCALL" export --model "$out/assistant" --out "$out/$dtype.gguf" --dtype "$dtype"
    cargo run --quiet --example logits -- "$out/$dtype.gguf" "$data" 0 "$out/logits.safetensors" auto
    cargo run --quiet --example logits -- "$out/$dtype.gguf" "$data" 0 "$out/exact.safetensors"
    "$home/llama_cpp/bin/python" scripts/dev/verify/export.py --gguf "$out/$dtype.gguf" \
        --ours "$out/logits.safetensors" --exact "$out/exact.safetensors"
done
echo "verify: all is well"
