#!/usr/bin/env bash
# Feeds everything that reads outside data with broken inputs: changed data sets, settings, configs,
# templates, tokenizers, weights, schemas and replies. Prints for each reader how many were accepted
# and refused, and how many got no answer: panics, crashes, hangs (over two minutes) and memory over
# the limit. Not part of scripts/check, which feeds some thousands.
# usage: scripts/dev/verify_fuzz.sh [INPUTS [SEED]]     default: 1000000 1
# An input is identified by its reader, its number and the seed, which the report of a failure names.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

export TOOLCALL_FUZZ_RUNS="${1:-1000000}" TOOLCALL_FUZZ_SEED="${2:-1}"
cargo test --quiet --package toolcall_lib --test tests -- \
    --exact fuzz::every_input_gets_an_answer_or_an_error --nocapture
