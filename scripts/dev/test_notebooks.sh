#!/usr/bin/env bash
# Tests the notebook kernel and the headless runner.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
"$root/scripts/setup.sh" python kernel seed
exec "$home/python/bin/python" "$root/scripts/dev/tests/test_kernel.py" "$@"
