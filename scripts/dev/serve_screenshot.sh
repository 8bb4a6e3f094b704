#!/usr/bin/env bash
# Uses the page of the server in headless Chromium with the keyboard alone: adds a tool, asks, reads the call with its confidence,
# opens the raw reply and the request, answers for the tool, and asks a second model beside the first. Takes a picture of it in
# light and in dark, and one of both models. Ends with an error if an element is missing or the browser reports one. Needs Chromium
# and npm (Debian: apt-get install chromium npm). Not part of scripts/check.
# usage: scripts/dev/serve_screenshot.sh FOLDER [MODEL]     default: the default model
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/server.sh"

[ $# -ge 1 ] || fail "usage: scripts/dev/serve_screenshot.sh FOLDER [MODEL]"
mkdir -p "$1"
model="${2:-$default_model}"
chromium="$(command -v chromium || command -v chromium-browser)" || fail "Chromium is missing (Debian: apt-get install chromium)"
command -v npm >/dev/null || fail "npm is missing (Debian: apt-get install npm)"
[ -d "$home/browser/node_modules/playwright-core" ] || npm install --silent --prefix "$home/browser" playwright-core@1.65.1
"$root/scripts/setup.sh" model
build_toolcall

out="$root/out/serve_screenshot"
mkdir -p "$out"
ln -sfn "$default_model" "$out/base.gguf" # the two models need different names
start_server server --model "$model" --base "$out/base.gguf"
NODE_PATH="$home/browser/node_modules" node "$root/scripts/dev/serve_screenshot.js" "$url" "$chromium" "$1"
end_server server
