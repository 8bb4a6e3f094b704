#!/usr/bin/env bash
# Trains with several processes on this host: each has its own GPU, or they share the cores. Ctrl-C ends all of them after the step
# and saves.
# usage: scripts/train_distributed.sh [--ranks N] [--threads N] ARGUMENTS
# ARGUMENTS go to `toolcall train`. --ranks: default: the number of GPUs. --threads: threads of each rank; default:
# the cores divided by the ranks. train_distributed.py does the work.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
run_python train_distributed.py "$@"
