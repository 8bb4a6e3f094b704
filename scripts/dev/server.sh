# Starts and ends `toolcall serve` for the scripts that ask it; they source it after env.sh, and set `out`, the folder of its logs.
toolcall="${TOOLCALL_PROGRAM:-$root/target/release/toolcall}" # a program that is built already
server= url=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true' EXIT

build_toolcall() {
    [ -n "${TOOLCALL_PROGRAM:-}" ] || cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin toolcall
}
start_server() { # LOG FLAG...; takes a free port unless a flag names one, waits until it answers, and sets server and url
    case " $* " in *" --port "*) ;; *) set -- "$@" --port 0 ;; esac
    "$toolcall" serve "${@:2}" >"$out/$1.log" 2>&1 &
    server=$!
    for _ in $(seq 600); do
        url="$(sed -n 's/.* on \(http:[^ ]*\) (the page).*/\1/p' "$out/$1.log")"
        [ -z "$url" ] || return 0
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$out/$1.log")"
        sleep 0.2
    done
    fail "the server does not come up"
}
end_server() { # LOG; SIGTERM ends it in order
    kill -TERM "$server"
    wait "$server" || fail "SIGTERM ended the server with code $?"
    server=
    grep -q '^ended$' "$out/$1.log" || fail "the server did not say that it ended"
}
