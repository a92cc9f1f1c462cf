#!/usr/bin/env bash
# Builds the tools and prints the directory they are in. FLOE_PROFILE names another profile of Cargo.toml than release.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
profile=${FLOE_PROFILE:-release}
bin=${CARGO_TARGET_DIR:-$root/target}/$profile
[[ -x $bin/restore ]] || echo "building floe, which takes some minutes the first time" >&2
cargo build --profile "$profile" --quiet --manifest-path "$root/Cargo.toml" >&2
echo "$bin"
