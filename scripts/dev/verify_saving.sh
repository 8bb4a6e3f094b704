#!/usr/bin/env bash
# Checks that nothing is lost: a training run is killed at random moments and resumes, and the power
# is cut under one at random moments. Each time the model must be, byte for byte, that of an
# undisturbed run. Not part of scripts/check.
# usage: scripts/dev/verify_saving.sh [--kills N] [--cuts N]     default: 200 and 40
# The power cuts need root, losetup and mkfs.ext4 (Debian: mount, e2fsprogs); without them they are
# left out, and the script says so.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

cargo build --quiet --release --bin toolcall
work="$root/out/verify_saving"
rm -rf "$work" && mkdir -p "$work"
cargo run --quiet --release --example tiny_model -- "$work/tiny"
python3 scripts/dev/verify/saving.py --program target/release/toolcall --model "$work/tiny" \
    --data data/tool_heldout.json --work "$work" "$@"
