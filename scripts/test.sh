#!/usr/bin/env bash
# Runs every test. Real programs that are not on the machine come from the distribution's packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if [[ $(id -u) != 0 ]]; then
    echo "test.sh: the suite needs root (CAP_SYS_ADMIN, CAP_SYS_PTRACE): run it as root" >&2
    exit 5
fi
"$root/scripts/install-programs.sh"
cargo build --release --workspace --bins
# A test that cannot run here says so in this file: it passes, and must not be taken for one that has run.
FLOE_SKIPPED=$(mktemp)
export FLOE_SKIPPED
trap 'rm -f "$FLOE_SKIPPED"' EXIT
cargo test --release --workspace "$@"
if [[ -s $FLOE_SKIPPED ]]; then
    printf '\ntest.sh: not everything was tested:\n' >&2
    sort "$FLOE_SKIPPED" >&2
fi
