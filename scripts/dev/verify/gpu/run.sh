#!/usr/bin/env bash
# Verifies and measures the CUDA engine on the first GPU of this machine, stage by stage, those that matter most first. Linux only.
# usage: run.sh [STAGE ...]      default: all, in at most 8 minutes
#
#   a  the devices; every kernel compiles; the card's peaks          e  replies beside transformers
#   b  every kernel against the CPU                                  f  NCCL: one rank, then two on one GPU
#   c  steps, adapters and replies against the CPU                   g  compute-sanitizer
#   d  training beside TRL, and the time of each kernel              h  what limits the slowest kernels
#                                                                    i  training beside torch.compile
#
# Results go to $OUT (default: results beside this script): results.jsonl, a line as soon as it is known; log.txt; details.tar.gz. A stage
# that fails or hangs costs only itself. Needed: Python 3.12 with PyTorch and transformers; CUDA's libraries are those of its packages.
# The folder is made by scripts/dev/verify_gpu.sh, which also rehearses it without a GPU: then REHEARSAL names the pretended libraries.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export OUT="${OUT:-$here/results}" work="${WORK:-/tmp/verify_gpu}" REHEARSAL="${REHEARSAL:-}"
export results="$OUT/results.jsonl" details="$work/details" TOOLCALL_HOME="$work/home"
export PYTHONPATH="$here/python:$work/site" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false TQDM_DISABLE=1
export parity="$work/bin/parity" toolcall="$work/bin/toolcall" speed="$work/bin/gpu_speed" model="$work/model" tiny="$work/tiny"
export PYTHON="${PYTHON:-python3}" data="$here/data" most=480

if [ -n "$REHEARSAL" ]; then # small, and PyTorch on the CPU
    export model="$tiny"
    export torch_device=cpu steps=4 batch=2 batches=1,2 new=4 shapes=small jobs=1 test_limit=900 log_every=1 slower=40 profiled=2
else
    export torch_device=cuda steps=75 batch=8 batches=1,8,32,128 new=64 shapes=real jobs=6 test_limit=80 log_every=10 slower=1 profiled=30
fi

# Our Python programs; they see the pretended GPU only where it is wanted.
py() { "$PYTHON" "$here/python/$1.py" "${@:2}"; }
on_gpu() { LD_LIBRARY_PATH="$(cat "$work/libraries")" "$@"; }
collect() { py collect "$1" --results "$results" --stage "$stage" "${@:2}"; }
add() { collect add "$@"; } # WHAT [NAME=VALUE ...]
tests() { # FOLDER REGEX [OPTIONS...]
    TOOLCALL_TEST_DEVICE=cuda on_gpu "$PYTHON" "$here/python/parity.py" --program "$parity" --results "$results" --stage "$stage" \
        --folder "$details/$1" --tests "$2" --jobs "$jobs" --limit "$test_limit" "${@:3}"
}

# Unpacks what is packed, and makes weights from a seed.
prepare() {
    rm -rf "$work"
    mkdir -p "$work" "$details"
    "$PYTHON" -m tarfile --filter data -e "$here/kit.tar.xz" "$work" || return
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$here"/wheels/*.whl ||
        add missing what=wheels
    local packages
    packages="$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia"
    printf '%s' "${REHEARSAL:+$REHEARSAL:}$(printf '%s:' "$packages"/*/lib)${LD_LIBRARY_PATH:-}" >"$work/libraries"
    cp -r "$work/tiny_shape" "$tiny" && "$work/bin/random_model" "$tiny" || return
    [ -n "$REHEARSAL" ] || "$work/bin/random_model" "$model"
}

stage_a() {
    on_gpu "$toolcall" devices | tee "$details/devices.txt"
    add devices text@="$details/devices.txt"
    nvidia-smi >"$details/nvidia-smi.txt" 2>&1 || echo "nvidia-smi: not here" >"$details/nvidia-smi.txt"
    tests a '^cuda::nvidia::tests::every_kernel' --ignored # the first that opens the GPU: it compiles all kernels
    py peaks --results "$results" --stage "$stage" --device "$torch_device"
}

stage_b() { TOOLCALL_TEST_SHAPES=$shapes tests b '^cuda::(ops|attention|tests|weights)::'; }

stage_c() {
    TOOLCALL_TEST_SHAPES=$shapes tests c '^cuda::(decoder|generation)::|^train::gpu::tests::one_device|^generate::engine::tests::'
}

# Trains, with the most memory of the card that was in use meanwhile.
train_ours() { # NAME
    watch_memory &
    local watcher=$!
    on_gpu "$toolcall" train --recipe seed --model "$model" --data "$data/rows.json" --config "$work/ours.json" --out "$work/tuned"
    local status=$?
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    cp "$work/tuned/train_report.json" "$details/$1.json"
    rm -rf "$work/tuned"
    collect training --name "$1" --report "$details/$1.json" --status "$status" \
        --memory "$details/memory.txt" --rows "$data/sequences.jsonl" --model "$model" --batch "$batch"
}
train_other() { # NAME PROGRAM OPTIONS...
    watch_memory &
    local watcher=$! name="$1"
    py "${@:2}" --model "$model" --rows "$data/sequences.jsonl" --data "$data/rows.json" --steps "$steps" --device "$torch_device" \
        --out "$details/$name.json" 2>&1 | tee "$details/$name.log" | tail -5
    local status=${PIPESTATUS[0]}
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    collect training --name "$name" --report "$details/$name.json" --status "$status" \
        --memory "$details/memory.txt" --batch "$batch" --log "$details/$name.log"
}
watch_memory() {
    : >"$details/memory.txt"
    command -v nvidia-smi >/dev/null || exec sleep 1000
    exec nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=200 >"$details/memory.txt"
}
trl() { # NAME SETTINGS
    train_other "$1" trl_run --log-every "$log_every" --settings "{\"bf16\": true, \"per_device_train_batch_size\": $batch,
        \"learning_rate\": 2e-5, \"gradient_checkpointing\": false, \"optim\": \"adamw_torch_fused\"${2:+, $2}}"
}

stage_d() {
    printf '{"loss": "assistant", "max_steps": %d, "learning_rate": 2e-5, "shuffle": false, "bf16": true, "device": "cuda", %s}' \
        "$steps" "\"per_device_train_batch_size\": $batch" >"$work/ours.json"
    sed "s/\"max_steps\": $steps/\"max_steps\": $profiled/" "$work/ours.json" >"$work/profiled.json"
    sed "s/\"max_steps\": $steps/\"max_steps\": 3/" "$work/ours.json" >"$work/ncu.json"
    train_ours toolcall
    on_gpu "$speed" steps "$model" "$data/rows.json" "$work/profiled.json" >"$details/profile.json" &&
        add profile profile@json="$details/profile.json"
    trl "TRL"
    trl "TRL with Liger" '"use_liger_kernel": true'
    train_ours "toolcall, again"
}

stage_e() {
    on_gpu "$speed" replies "$model" "$data/prompts.json" "$data/other_prompts.json" "$batches" "$new" |
        while read -r line; do printf '%s' "$line" >"$work/line.json" && add replies engine=toolcall @json="$work/line.json"; done
    py replies --model "$model" --prompts "$data/prompt_ids.json" --batches "$batches" --new "$new" --results "$results" \
        --stage "$stage" --device "$torch_device"
}

stage_f() {
    tests f '^cuda::nvidia::nccl::tests::' --ignored
    printf '{"max_steps": 2, "shuffle": false, "device": "cuda", "ddp_timeout": 20, "per_device_train_batch_size": 1}' >"$work/ranks.json"
    local rank pids=()
    for rank in 0 1; do # as torchrun would start them; both see the one GPU
        RANK=$rank WORLD_SIZE=2 LOCAL_RANK=$rank LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29541 NCCL_DEBUG=WARN \
            NCCL_MULTI_RANK_GPU_ENABLE=1 on_gpu timeout -k 2 $((30 * slower)) "$toolcall" train --model "$tiny" --data "$data/rows.json" \
            --config "$work/ranks.json" --out "$work/ranks" >"$details/rank$rank.txt" 2>&1 &
        pids+=($!)
    done
    local status=()
    for pid in "${pids[@]}"; do
        wait "$pid"
        status+=($?)
    done
    add "two ranks on one GPU" status="${status[*]}" text@="$details/rank0.txt" other@="$details/rank1.txt"
}

stage_g() {
    if ! command -v compute-sanitizer >/dev/null; then
        add sanitizer problem="compute-sanitizer is not on this machine"
        return
    fi
    export TOOLCALL_TEST_SHAPES=small
    local check
    for check in memcheck racecheck; do
        local which='^cuda::(ops|attention|tests)::'
        [ $check = racecheck ] || which+='|^cuda::(decoder|generation)::tests::(whole_steps_in_bf16|steps_of|logits_of)'
        tests "$check" "$which" --under "compute-sanitizer --tool $check --error-exitcode 9 --require-cuda-init no"
        add sanitizer tool="$check" summaries="$(cat "$details/$check"/*.log | grep -h 'SUMMARY' | sort | uniq -c)"
    done
}

stage_h() {
    if ! command -v ncu >/dev/null; then
        add ncu problem="ncu is not on this machine"
        return
    fi
    if [ ! -s "$details/profile.json" ]; then
        add ncu problem="stage d has not reported the slowest kernels"
        return
    fi
    local kernel
    for kernel in $(py collect slowest "$details/profile.json" 3); do
        on_gpu ncu --clock-control none --kernel-name "regex:^$kernel$" --launch-skip 20 --launch-count 1 --csv --page details \
            --section SpeedOfLight --section Occupancy --section LaunchStats --section WarpStateStats --section MemoryWorkloadAnalysis \
            --target-processes all "$speed" steps "$model" "$data/rows.json" "$work/ncu.json" >"$details/ncu-$kernel.csv" 2>"$details/ncu-$kernel.log"
        collect ncu --kernel "$kernel" --csv "$details/ncu-$kernel.csv"
    done
}

stage_i() { # compiling takes a minute or two each
    trl "TRL, compiled" '"torch_compile": true, "pad_to_multiple_of": 64'
    train_other "a loop, compiled" plain_run --batch "$batch" --compile
}

limit_of() { # seconds of a stage at most
    case "$1" in prepare) echo 60 ;; a) echo 60 ;; b) echo 70 ;; c) echo 80 ;; d) echo 150 ;; e) echo 80 ;; f) echo 60 ;; g) echo 80 ;; h) echo 80 ;; i) echo 240 ;; esac
}

if [ "${1:-}" = --inside ]; then
    export stage="$2"
    case "$2" in prepare) prepare ;; *) "stage_$2" ;; esac
    exit
fi

stages=("$@")
[ $# -gt 0 ] || stages=(a b c d e f g h i)
mkdir -p "$OUT"
[ -x "$parity" ] && [ -f "$tiny/model.safetensors" ] && [ "$work" -nt "$here/kit.tar.xz" ] || stages=(prepare "${stages[@]}")
begun=$SECONDS
for stage in "${stages[@]}"; do
    export stage
    left=$((most * slower - (SECONDS - begun)))
    limit=$(($(limit_of "$stage") * slower))
    [ $limit -lt $left ] || limit=$left
    if [ $limit -lt 5 ]; then
        printf '{"stage": "%s", "what": "stage", "status": "no time was left"}\n' "$stage" >>"$results"
        continue
    fi
    echo "== $stage, at most $limit s"
    start=$SECONDS
    timeout -k 5 "$limit" "${BASH_SOURCE[0]}" --inside "$stage" 2>&1 | tee -a "$OUT/log.txt" | cut -c1-300
    printf '{"stage": "%s", "what": "stage", "status": %d, "seconds": %d, "limit": %d}\n' "$stage" "${PIPESTATUS[0]}" $((SECONDS - start)) \
        "$limit" >>"$results"
    tar -C "$work" -czf "$OUT/details.tar.gz" --exclude='*.safetensors' details 2>/dev/null
done
echo "== done after $((SECONDS - begun)) s"
