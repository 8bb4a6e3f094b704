#!/usr/bin/env bash
# Starts the Jupyter kernel "Rust (toolcall)"; Jupyter calls it with the arguments of kernel.json (see setup.sh).
# Each kernel compiles in a folder of its own: two in one folder would overwrite each other's cells.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

mkdir -p "$home/kernels"
exec 8>"$home/lock" && flock 8 # not while setup.sh changes the seed
for old in "$home"/kernels/*/; do # of kernels that were killed
    [ -d "$old" ] && flock --nonblock "$old/lock" rm -rf "$old" || true
done
work="$(mktemp -d "$home/kernels/XXXXXX")"
exec 9>"$work/lock" && flock 9 # held by this process and all that it starts, for as long as one of them lives
setsid flock "$work/lock" rm -rf "$work" 8>&- 9>&- </dev/null >/dev/null 2>&1 &

# Hard links take no time and no disk. What cargo and evcxr write in place must be a copy, or one kernel would change
# the seed and with it all others: the manifests, and what belongs to toolcall_lib, whose sources may change.
cp -r "$home/seed"/{Cargo.toml,Cargo.lock,ctx,keep} "$work/"
cp -al "$home/seed/target" "$work/ctx/target"
cd "$work/ctx/target" # where .toolcall is not in the paths
find . -name .cargo-lock -delete
find . -type f \( -path '*toolcall*' -o -name .rustc_info.json \) -exec sh -c 'cp -p "$0" "$0.own" && mv "$0.own" "$0"' {} \;
cd "$OLDPWD"
exec 8>&-

model="${TOOLCALL_MODEL:-$default_model}" # the notebooks load it; as a path from where they stand, which is the same for everyone
[ ! -e "$model" ] || model="$(realpath --relative-to="$PWD" "$model")"
export TOOLCALL_MODEL="$model"
export EVCXR_TMPDIR="$work/ctx"
export EVCXR_CONFIG_DIR="$root/scripts/kernel${TOOLCALL_HEADLESS:+/headless}"
export RUST_LIB_BACKTRACE=0 # evcxr asks for backtraces; in the message of an error they only hide what it says
trap '' INT # an interrupt is for the handler that toolcall_lib installs, not for the kernel, which would forget all variables
exec "$home/bin/evcxr_jupyter" "$@" >/dev/null
