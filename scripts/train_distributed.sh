#!/usr/bin/env bash
# Trains with several processes on this host, which share its cores. Ctrl-C ends all of them after the step and saves.
# usage: scripts/train_distributed.sh --ranks N [--threads N] ARGUMENTS
# ARGUMENTS are those of `toolcall train`. --threads: of each rank; without it, the cores divided by the ranks.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$root/scripts/mpi.sh"

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
[ -n "$ranks" ] || fail "--ranks is missing: how many processes?"
[ ${#mpi_packages[@]} -eq 0 ] || fail "an MPI is missing (Debian, Ubuntu: apt-get install ${mpi_packages[*]})"
cores="$(nproc)"
[ -n "$threads" ] || threads=$((cores > ranks ? cores / ranks : 1))
[ $((ranks * threads)) -le "$cores" ] || echo "note: $ranks ranks of $threads threads on $cores cores wait for each other" >&2
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --features mpi --bin toolcall

# Open MPI: any number of ranks, as root too (in containers), each on all cores; MPICH does not know these variables.
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export RAYON_NUM_THREADS="$threads"

# mpirun would kill its ranks at Ctrl-C. In a session of its own it does not see it, and hands on SIGUSR1, which asks them to stop.
setsid mpirun -n "$ranks" "$root/target/release/toolcall" train "${arguments[@]}" &
job=$!
stop() {
    [ -z "${stopping:-}" ] || kill -TERM "$job" # the second time, at once
    stopping=yes
    echo "stopping after this step; once more to stop at once" >&2
    kill -USR1 "$job"
}
trap stop INT TERM
status=0
wait "$job" || status=$?
while kill -0 "$job" 2>/dev/null; do # a trap ends `wait`
    status=0
    wait "$job" || status=$?
done
exit "$status"
