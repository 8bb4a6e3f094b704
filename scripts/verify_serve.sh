#!/usr/bin/env bash
# Checks the server with the official `openai` Python package, then with 500 clients at once for a minute: slow readers, half-sent
# bodies, clients that vanish, bad JSON, bodies of 10 MB. No reply may be lost or be that of another request, memory has to stay
# bounded, and the next request has to be served. Ends with SIGTERM, which has to end the server in order. Not part of scripts/check.
# usage: scripts/verify_serve.sh [MODEL [SECONDS [CLIENTS]]]     default: the default model, 60 and 500
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

model="${1:-$default_model}"
seconds="${2:-60}"
clients="${3:-500}"
toolcall="${TOOLCALL_PROGRAM:-target/release/toolcall}" # a program that is built already

scripts/setup.sh openai
[ $# -gt 0 ] || scripts/setup.sh model
[ -n "${TOOLCALL_PROGRAM:-}" ] || cargo build --quiet --release --bin toolcall
out="$root/out/verify_serve"
rm -rf "$out" && mkdir -p "$out"

start() { # PORT KEY; sets server and waits until it answers
    "$toolcall" serve --model "$model" --port "$1" ${2:+--api-key "$2"} >"$out/server-$1.log" 2>&1 &
    server=$!
    for _ in $(seq 600); do
        if grep -q ' on http://' "$out/server-$1.log"; then return; fi
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$out/server-$1.log")"
        sleep 0.2
    done
    fail "the server does not come up"
}
finish() { # SIGTERM ends it in order
    kill -TERM "$server"
    wait "$server" || fail "SIGTERM ended the server with code $?"
    grep -q '^ended$' "$out/server-$1.log" || fail "the server did not say that it ended"
}
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true' EXIT

python="$home/openai/bin/python"
port="$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
echo "== the openai package"
start "$port" s3cret
"$python" scripts/verify/serve_openai.py "http://127.0.0.1:$port/v1" s3cret
finish "$port"
"$python" scripts/verify/serve_openai.py --gone "http://127.0.0.1:$port/v1" s3cret
echo "== $clients clients for $seconds s"
start "$port" ""
"$python" scripts/verify/serve_load.py "http://127.0.0.1:$port" --pid "$server" --seconds "$seconds" --clients "$clients"
finish "$port"
server=
echo "verify: all is well"
