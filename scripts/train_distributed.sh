#!/usr/bin/env bash
# Trains with several processes on this host: each has its own GPU, or they share the cores. Ctrl-C ends all of them after the step
# and saves.
# usage: scripts/train_distributed.sh [--ranks N] [--threads N] ARGUMENTS
# ARGUMENTS are those of `toolcall train`. --ranks: as many as there are GPUs, if it is left out. --threads: of each rank; without it,
# the cores divided by the ranks.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ranks="" threads="${RAYON_NUM_THREADS:-}" arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
        --ranks | --threads)
            [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || fail "$1: \`${2:-}\` is not a positive number"
            declare "${1#--}=$2"
            shift 2
            ;;
        *) arguments+=("$1") && shift ;;
    esac
done
gpus="$({ nvidia-smi --list-gpus 2>/dev/null || true; } | grep -c ^GPU || true)"
[ -n "$ranks" ] || [ "$gpus" -eq 0 ] || ranks="$gpus"
[ -n "$ranks" ] || fail "--ranks is missing: how many processes?"
cores="$(nproc)"
[ -n "$threads" ] || threads=$((cores > ranks ? cores / ranks : 1))
[ $((ranks * threads)) -le "$cores" ] || echo "note: $ranks ranks of $threads threads on $cores cores wait for each other" >&2
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --features cuda --bin toolcall

# The variables of torchrun. A terminal sends Ctrl-C to all processes of its session; in sessions of their own the ranks do not see
# it, and get SIGUSR1, which asks them to stop.
export RAYON_NUM_THREADS="$threads" WORLD_SIZE="$ranks" LOCAL_WORLD_SIZE="$ranks"
export MASTER_ADDR=127.0.0.1 MASTER_PORT="${MASTER_PORT:-$((29500 + RANDOM % 1000))}"
# Other users of this host can connect to that port too; they do not know this.
export TOOLCALL_RANKS_SECRET="${TOOLCALL_RANKS_SECRET:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}"
jobs=()
for ((rank = 0; rank < ranks; rank++)); do
    RANK="$rank" LOCAL_RANK="$rank" setsid "$root/target/release/toolcall" train "${arguments[@]}" &
    jobs+=($!)
done
stop() {
    [ -z "${stopping:-}" ] || kill -KILL "${jobs[@]}" 2>/dev/null || true # the second time, at once
    stopping=yes
    echo "stopping after this step; once more to stop at once" >&2
    kill -USR1 "${jobs[@]}" 2>/dev/null || true
}
trap stop INT TERM
status=0
for job in "${jobs[@]}"; do # a rank that fails ends the others, and says why
    wait "$job" || outcome=$?
    while kill -0 "$job" 2>/dev/null; do # a trap ends `wait`
        outcome=0
        wait "$job" || outcome=$?
    done
    [ "${outcome:-0}" -eq 0 ] || status="$outcome"
    outcome=0
done
exit "$status"
