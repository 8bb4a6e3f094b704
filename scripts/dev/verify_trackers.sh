#!/usr/bin/env bash
# Checks with the trackers' own packages what they receive: `tensorboard` reads the event files, `wandb sync` sends an offline run
# to a local server, which also gets an online run, and `transformers` reads trainer_state.json. All must have the numbers of
# train_report.json. Draws the loss of each as an image. Not part of scripts/check.
# usage: scripts/dev/verify_trackers.sh [MODEL]     default: a tiny model with random weights
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/verify/begin.sh"
cd "$root"

begin trackers "${1:-}"
"$home/trackers/bin/python" scripts/dev/verify/trackers.py --program "$toolcall" --model "$model" \
    --data data/tool_heldout.json --work "$work"
