#!/usr/bin/env bash
# Checks what trackers are told with the packages of the trackers themselves: `tensorboard` reads the event files, `wandb sync` sends
# an offline run to a server on this machine, to which an online run goes, too, and `transformers` reads trainer_state.json. All have
# to hold the numbers of train_report.json. Draws the loss of each as an image. Not part of scripts/check.
# usage: scripts/dev/verify_trackers.sh [MODEL]     default: a tiny model with random weights
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/verify/begin.sh"
cd "$root"

begin trackers "${1:-}"
"$home/trackers/bin/python" scripts/dev/verify/trackers.py --program "$toolcall" --model "$model" \
    --data data/tool_heldout.json --work "$work"
