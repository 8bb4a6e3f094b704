#!/usr/bin/env bash
# Compares our check of arguments with the JSON Schema Test Suite, in the version that the source package of `jsonschema`
# for Python ships. Prints for each keyword how many cases are judged as the suite does, where we are stricter, and what is
# refused. Ends with an error if a value is accepted that the suite refuses, or if a value or a schema is refused for a
# reason that is not listed in verify/schemas.py. Not part of scripts/check.
# usage: scripts/dev/verify_schemas.sh
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$root"

scripts/setup.sh schemas
cargo build --quiet --release --example schema_check
python3 scripts/dev/verify/schemas.py "${CARGO_TARGET_DIR:-target}/release/examples/schema_check" "$home"/schemas/*.tar.gz
echo "verify: all is well"
