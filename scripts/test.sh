#!/usr/bin/env bash
# Runs every test. Real programs that are not on the machine come from the distribution's packages.
#
#   test.sh [--all] [ARG…]    --all: also on other kernels, in emulated machines (vm-test.sh), which takes an hour, and with all
#                             faults and what takes minutes; ARG…: arguments of cargo test
set -euo pipefail
all=0
if [[ ${1-} == --all ]]; then all=1; shift; export FLOE_ALL_FAULTS=1 FLOE_SCENARIO_SECONDS=3000 PROPTEST_CASES=400; fi
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if [[ $(id -u) != 0 ]]; then
    echo "test.sh: the suite needs root (CAP_SYS_ADMIN, CAP_SYS_PTRACE): run it as root" >&2
    exit 5
fi
"$root/scripts/install-programs.sh"
cargo build --profile suite --workspace --bins
# A test that cannot run here says so in this file: it passes, and must not be taken for one that has run. So does one that failed at first.
FLOE_SKIPPED=$(mktemp)
export FLOE_SKIPPED
trap 'rm -f "$FLOE_SKIPPED"' EXIT
# Scenarios wait more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
cargo test --profile suite --workspace "$@"
if ((all)); then
    for kernel in 6.1 6.12 newest aufs; do
        status=0
        echo "test.sh: Linux $kernel"
        "$root/scripts/vm-test.sh" "$kernel" || status=$?
        case $status in
            0) ;;
            69) echo "SKIPPED vm-test.sh $kernel: its machine cannot be had here" >> "$FLOE_SKIPPED" ;;
            *) exit "$status" ;;
        esac
    done
fi
if [[ -s $FLOE_SKIPPED ]]; then
    printf '\ntest.sh: not everything was tested, or at once:\n' >&2
    cat "$FLOE_SKIPPED" >&2
fi
