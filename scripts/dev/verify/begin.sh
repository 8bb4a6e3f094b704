# Begins a check of `toolcall` against a third-party package; other scripts source it.

# Sets `toolcall`, the program; `work`, an empty folder; and `model`: the given one, or a tiny one with random weights.
# `TOOLCALL_PROGRAM` names a program that is built already.
begin() { # PART_OF_SETUP [MODEL]
    toolcall="${TOOLCALL_PROGRAM:-target/release/toolcall}"
    work="$root/out/verify_$1"
    scripts/setup.sh "$1"
    rm -rf "$work" && mkdir -p "$work"
    [ -n "${TOOLCALL_PROGRAM:-}" ] || cargo build --quiet --release --bin toolcall
    model="${2:-}"
    if [ -z "$model" ]; then
        model="$work/tiny"
        cargo run --quiet --release --example tiny_model -- "$model"
    fi
}
