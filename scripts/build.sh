#!/usr/bin/env bash
# Builds the tools and prints the directory they are in.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
[[ -x $bin/restore ]] || echo "building floe, which takes some minutes the first time" >&2
cargo build --release --quiet --manifest-path "$root/Cargo.toml" >&2
echo "$bin"
