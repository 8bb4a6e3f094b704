#!/usr/bin/env bash
# Checks that Ollama prompts a model as it was trained: the templates of our Modelfiles, rendered in Go with the fields that
# Ollama gives them, write the prompts of the chat templates that they translate. Needs Go. Not part of scripts/check.
# usage: scripts/dev/verify_modelfile.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

command -v go >/dev/null || fail "go is missing, whose template language Ollama uses: apt-get install golang-go"
GO111MODULE=off GOCACHE="$home/go" go run scripts/dev/verify/modelfile/main.go toolcall_lib/tests/golden/modelfiles hermes qwen2_5 qwen3
echo "verify: all is well"
