#!/usr/bin/env bash
# Checks the server with the official `openai` Python package, then with 500 clients at once for a minute: slow readers, half-sent
# bodies, clients that vanish, bad JSON, bodies of 10 MB. No reply may be lost or belong to another request, memory must stay
# bounded, and the next request must be served. SIGTERM must end the server in order. A client whose server is killed must get an
# error, and a server that takes its place must answer. Not part of scripts/check.
# usage: scripts/dev/verify_serve.sh [MODEL [SECONDS [CLIENTS]]]     default: the default model, 60 and 500
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
. "$root/scripts/dev/server.sh"
cd "$root"

model="${1:-$default_model}"
seconds="${2:-60}"
clients="${3:-500}"

scripts/setup.sh openai
[ $# -gt 0 ] || scripts/setup.sh model
build_toolcall
out="$root/out/verify_serve"
rm -rf "$out" && mkdir -p "$out"
python="$home/openai/bin/python"

echo "== the openai package"
start_server openai --model "$model" --api-key s3cret
"$python" scripts/dev/verify/serve_openai.py "$url/v1" s3cret
end_server openai
"$python" scripts/dev/verify/serve_openai.py --gone "$url/v1" s3cret
echo "== $clients clients for $seconds s"
start_server load --model "$model"
"$python" scripts/dev/verify/serve_load.py "$url" --pid "$server" --seconds "$seconds" --clients "$clients"
end_server load
echo "== a server that is killed, and started again"
start_server killed --model "$model" --api-key s3cret
"$python" scripts/dev/verify/serve_openai.py --kill "$server" "$url/v1" s3cret
wait "$server" || true
port="${url##*:}"
start_server again --model "$model" --api-key s3cret --port "$port"
[ "$url" = "http://127.0.0.1:$port" ] || fail "the second server is at $url"
"$python" scripts/dev/verify/serve_openai.py "$url/v1" s3cret
end_server again
echo "verify: all is well"
