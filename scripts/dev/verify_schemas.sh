#!/usr/bin/env bash
# Checks our check of arguments against the JSON Schema Test Suite, in the version that the source package of
# `jsonschema` for Python ships. Prints for each keyword how many cases are judged as the suite does, where we are stricter,
# and what is refused. Ends with an error if a value is taken that the suite refuses. Not part of scripts/check.
# usage: scripts/dev/verify_schemas.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

package="$home/json_schema_suite/jsonschema-4.23.0.tar.gz"
if [ ! -f "$package" ]; then
    python3 -m venv "$home/json_schema_suite"
    "$home/json_schema_suite/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary jsonschema \
        --dest "$home/json_schema_suite" jsonschema==4.23.0
fi
cargo build --quiet --release --example schema_check
python3 scripts/dev/verify/schemas.py "${CARGO_TARGET_DIR:-target}/release/examples/schema_check" "$package"
echo "verify: all is well"
