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
cargo test --release --workspace "$@"
