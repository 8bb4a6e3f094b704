#!/usr/bin/env bash
# Checks scripts/train_slurm.sbatch on a real Slurm: a cluster of this machine alone, which lives as long as this script. A job of two
# ranks gives the losses of one rank; a job that is asked to stop saves, goes back into the queue and resumes.
# Not part of scripts/check. Linux only. Needs root, and of Debian: apt-get install slurm-wlm munge openmpi-bin libopenmpi-dev libclang-dev
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

for program in slurmctld slurmd srun munged mungekey mpirun; do
    command -v "$program" >/dev/null || fail "$program is missing (see the head of this script)"
done
[ "$(id -u)" -eq 0 ] || fail "Slurm's daemons need root"
cluster="$(mktemp -d /tmp/toolcall-slurm-XXXXXX)" # a socket's path must be short
work="$root/out/verify_slurm"
rm -rf "$work" && mkdir -p "$work"
trap 'status=$?; [ $status -eq 0 ] || tail -n 20 "$cluster"/*.log "$work"/logs/* >&2 || true; stop_cluster' EXIT

start_cluster() {
    local host cores
    host="$(hostname -s)" cores="$(nproc)"
    mungekey --create --keyfile="$cluster/munge.key"
    munged --force --key-file="$cluster/munge.key" --socket="$cluster/munge" --pid-file="$cluster/munged.pid" \
        --log-file="$cluster/munged.log" --seed-file="$cluster/munge.seed"
    mkdir "$cluster/state" "$cluster/spool"
    cat >"$cluster/slurm.conf" <<CONF
ClusterName=toolcall
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthInfo=socket=$cluster/munge,cred_expire=10
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE
CONF
    export SLURM_CONF="$cluster/slurm.conf"
    slurmctld
    slurmd
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && return
        sleep 1
    done
    fail "the cluster does not start"
}

stop_cluster() {
    local daemon
    if [ -f "$cluster/slurmctld.pid" ]; then
        scancel --partition=main || true
        for _ in $(seq 60); do # the processes that watch a job outlive the daemons
            [ -n "$(squeue --noheader)" ] || break
            sleep 1
        done
    fi
    for daemon in slurmd slurmctld munged; do
        if [ -f "$cluster/$daemon.pid" ]; then kill "$(cat "$cluster/$daemon.pid")" || true; fi
    done
    sleep 2
    rm -rf "$cluster"
}

# Waits until the log of a job has a line.
wait_for() { # JOB TEXT
    for _ in $(seq 60); do
        ! grep --quiet --fixed-strings -- "$2" "$work/logs/toolcall-$1.log" 2>/dev/null || return 0
        sleep 1
    done
    fail "job $1 did not say \`$2\`"
}

submit() { # ARGUMENTS OF toolcall train; prints the number of the job
    (cd "$work" && "$root/scripts/train_slurm.sbatch" --parsable --ntasks 2 --cpus-per-task 1 --time 10 -- "$@")
}

cargo build --quiet --release --features mpi --bin toolcall
cargo run --quiet --release --features mpi --example tiny_model -- "$work/tiny"
echo '{ "max_steps": 30, "bf16": false, "per_device_train_batch_size": 8 }' >"$work/one.json"
echo '{ "max_steps": 30, "bf16": false, "per_device_train_batch_size": 4 }' >"$work/two.json"
echo '{ "max_steps": 3000, "bf16": false, "per_device_train_batch_size": 4 }' >"$work/long.json"
common=(--model "$work/tiny" --data "$root/data/tool_augmented_dataset.json")
start_cluster
export TOOLCALL="$root/target/release/toolcall"

echo "== missing data is refused before the job is queued"
! said="$(submit --data "$work/nothing.json" --out "$work/none" 2>&1)" || fail "it was queued: $said"
echo "$said"

echo "== what the program makes or finds is not asked for: no data, a folder, a data set of the hub, settings that name --out"
for arguments in "--out $work/none" "--data $root/data --out $work/none" "--data hub:a/b --out $work/none" "--config $work/one.json"; do
    # shellcheck disable=SC2086 # several arguments
    job="$(submit $arguments)" || fail "it was refused: $arguments"
    scancel "$job" || true # it may be over
done

echo "== two ranks under srun give the losses of one"
"$TOOLCALL" train "${common[@]}" --config "$work/one.json" --out "$work/one" >"$work/one.txt"
job="$(submit "${common[@]}" --config "$work/two.json" --out "$work/two")"
wait_for "$job" "saved $work/two"
cat "$work/logs/toolcall-$job.log"
python3 - "$work/one/train_report.json" "$work/two/train_report.json" <<'PYTHON'
import json
import sys

one, two = ([step["loss"] for step in json.load(open(path))["steps"]] for path in sys.argv[1:])
off = max(abs(a / b - 1) for a, b in zip(one, two, strict=True))
print(f"largest difference of the losses of {len(one)} steps: {off:.1e}")
sys.exit(off > 1e-5)
PYTHON

echo "== a job that is asked to stop goes back into the queue and resumes"
job="$(submit "${common[@]}" --config "$work/long.json" --out "$work/long")"
wait_for "$job" "step  150/3000"
scancel --signal=USR1 "$job"
wait_for "$job" "back into the queue"
wait_for "$job" "resuming from $work/long/checkpoint-"
wait_for "$job" "step  600/3000"
cat "$work/logs/toolcall-$job.log"
[ "$(grep --count "step  150/3000" "$work/logs/toolcall-$job.log")" -eq 1 ] || fail "it began again"
echo "verify_slurm: all is well"
