#!/usr/bin/env bash
# Opens a notebook in a real JupyterLab in headless Chromium, runs all its cells, counts plots and errors, and takes a
# picture. Needs Chromium and npm (Debian: apt-get install chromium npm). Not part of scripts/check.
# usage: scripts/dev/lab_screenshot.sh NOTEBOOK PICTURE.png
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"

[ $# -eq 2 ] || fail "usage: scripts/dev/lab_screenshot.sh NOTEBOOK PICTURE.png"
notebook="$(python3 -c 'import os, sys; print(os.path.relpath(*map(os.path.realpath, sys.argv[1:])))' "$1" "$root")"
chromium="$(command -v chromium || command -v chromium-browser)" || fail "Chromium is missing (Debian: apt-get install chromium)"
command -v npm >/dev/null || fail "npm is missing (Debian: apt-get install npm)"
[ -d "$home/browser/node_modules/playwright-core" ] || npm install --silent --prefix "$home/browser" playwright-core@1.65.1

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$root/scripts/lab.sh" --no-browser --allow-root --port "$port" --IdentityProvider.token=screenshot &
lab=$!
trap 'kill "$lab"; wait "$lab" || true' EXIT
until curl --silent --output /dev/null "http://127.0.0.1:$port/api"; do
    kill -0 "$lab" 2>/dev/null || fail "JupyterLab has ended"
    sleep 1
done
NODE_PATH="$home/browser/node_modules" node "$root/scripts/dev/lab_screenshot.js" "http://127.0.0.1:$port" "$notebook" "$chromium" "$2"
