#!/usr/bin/env bash
# Verifies and measures the CUDA engine on a machine with a GPU that has PyTorch but no Rust and no network. Linux only.
# Not part of scripts/check.
# usage: scripts/dev/verify_gpu.sh pack DIR [--data FILE]      makes a folder that runs there as it is: DIR/run.sh says how
#        scripts/dev/verify_gpu.sh rehearse DIR [STAGE ...]    runs it here, on a GPU that the host pretends to be, with PyTorch on the CPU
#        scripts/dev/verify_gpu.sh report RESULTS              makes a table of results.jsonl, or of the folder that it is in
#        scripts/dev/verify_gpu.sh driver [OPTIONS OF CARGO]   tests kernels and driver on the pretended GPU, as scripts/check does
# FILE: the rows to train on, data/tool_augmented_dataset.json if none is named. pack needs npm, and the Python package registry.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
kit="$root/scripts/dev/verify/gpu"
cd "$root"

most_bytes=$((50 << 20))

pack() { # DIR [--data FILE]
    local out="$1" rows="$root/data/tool_augmented_dataset.json"
    [ "${2:-}" != --data ] || rows="$3"
    mkdir -p "$out"
    out="$(cd "$out" && pwd)"
    rm -rf "$out"/{bin,data,python,wheels,kit.tar.xz,run.sh}
    local made="$root/out/verify_gpu"
    rm -rf "$made" && mkdir -p "$made/bin" "$out"/{data,python,wheels}

    # 1. programs, without debug information
    cargo build --quiet --release --features cuda --bin toolcall --example gpu_speed --example random_model
    local parity
    parity="$(cargo test --quiet --release --features cuda --package toolcall_lib --lib --no-run --message-format json |
        python3 -c 'import json, sys; print(*(m["executable"] for m in map(json.loads, sys.stdin) if m.get("profile", {}).get("test")))')"
    cp target/release/toolcall target/release/examples/{gpu_speed,random_model} "$made/bin/"
    cp "$parity" "$made/bin/parity"
    strip "$made"/bin/*

    # 2. the shapes, with Qwen3's tokenizer, and that of a small model with heads that a GPU takes
    . scripts/dev/bench/qwen3.sh
    qwen3_folder "$root/out/bench/models/qwen3"
    cp -r "$root/out/bench/models/qwen3" "$made/model"
    cp -r "$made/model" "$made/tiny_shape"
    cp "$kit/tiny.json" "$made/tiny_shape/config.json"

    # 3. rows: conversations, and their token ids
    cp -r "$made/tiny_shape" "$made/tiny"
    target/release/examples/random_model "$made/tiny" >/dev/null
    python3 "$kit/rows.py" --data "$rows" --batch 8 --out "$out/data/rows.json"
    target/release/toolcall inspect --json --loss assistant --model "$made/tiny" --data "$out/data/rows.json" >"$out/data/sequences.jsonl"
    local prompts=(data/tool_augmented_dataset.json data/tool_varied_dataset.json)
    python3 "$kit/rows.py" --data "${prompts[@]}" --prompts 128 --out "$out/data/prompts.json"
    python3 "$kit/rows.py" --data data/customer_tool_augmented_dataset.json --prompts 128 --out "$out/data/other_prompts.json"
    target/release/toolcall inspect --json --model "$made/tiny" --data "$out/data/prompts.json" |
        python3 "$kit/rows.py" --ids --out "$out/data/prompt_ids.json"

    # 4. Python: ours, and the packages that the machine lacks
    cp "$kit"/{parity,results,peaks,collect,replies,plain_run}.py scripts/dev/bench/{trl_run,work}.py "$out/python/"
    grep -ohE '^KERNEL\(\w+\)' toolcall_lib/src/cuda/kernels/*.cu | sed 's/KERNEL(\(.*\))/\1/' >"$out/data/kernels.txt"
    python3 -m venv --clear "$made/pip"
    "$made/pip/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
        --dest "$out/wheels" -r "$kit/requirements.txt"
    rm -rf "$made/pip" "$made/tiny"

    tar -C "$made" --sort=name --owner=0 --group=0 -cf - bin model tiny_shape | xz -9 -T0 >"$out/kit.tar.xz"
    cp "$kit/run.sh" "$out/"
    local bytes
    bytes="$(du -sb "$out" | cut -f1)"
    [ "$bytes" -le $most_bytes ] || fail "$out has $bytes bytes; expected at most $most_bytes"
    echo "$out: $(du -sh "$out" | cut -f1)"
}

rehearse() { # DIR [STAGE ...]
    scripts/setup.sh gpu_python
    "$kit/pretend/build.sh" "$home/pretend"
    rm -rf "$root/out/rehearsal"
    REHEARSAL="$home/pretend" PYTHON="$home/gpu_python/bin/python" WORK="$root/out/rehearsal/work" OUT="$root/out/rehearsal/results" \
        PATH="$kit/pretend/tools:$PATH" "$1/run.sh" "${@:2}"
    report "$root/out/rehearsal/results"
}

driver() { # [OPTIONS OF CARGO]
    scripts/setup.sh nvrtc
    "$kit/pretend/build.sh" "$home/pretend"
    LD_LIBRARY_PATH="$home/pretend:$home/nvrtc/lib" TOOLCALL_TEST_DEVICE=cuda TOOLCALL_TEST_SHAPES=small \
        cargo test --quiet --package toolcall_lib --lib "$@" -- --include-ignored --test-threads 1 cuda::nvidia cuda::ops cuda::tests
}

report() { # RESULTS
    python3 "$kit/report.py" "$1"
}

case "${1:-}" in
    pack | rehearse | report)
        [ $# -ge 2 ] || fail "$1 needs a folder; see the head of $0"
        "$@"
        ;;
    driver) "$@" ;;
    *) sed -n '2,8s/^# //p' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
