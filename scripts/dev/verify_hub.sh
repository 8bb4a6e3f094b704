#!/usr/bin/env bash
# Checks `toolcall push` against the hub's own client, `huggingface_hub`, and a local server that speaks the hub's API: the requests
# of both must be the same, the client downloads what toolcall has pushed, compared byte for byte, connections break off, pushes are
# stopped and killed, tokens are wrong. No output may show a token. Not part of scripts/check.
# usage: scripts/dev/verify_hub.sh [MODEL [CHUNK]]     default: a tiny model with random weights, whole files; CHUNK: bytes of a part
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/verify/begin.sh"
cd "$root"

begin hub "${1:-}"
export HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1
unset HF_TOKEN HF_HUB_OFFLINE
"$home/hub/bin/python" scripts/dev/verify/hub.py --program "$toolcall" --model "$model" --work "$work" ${2:+--chunk "$2"}
rm -rf "$work"/server* "$work"/cache* # copies of the model
echo "verify: all is well"
