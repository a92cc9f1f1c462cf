#!/usr/bin/env bash
# Checkpoints a process tree into an image file.
#
#   checkpoint.sh PID -o FILE [--kill | --leave-running] [--close-tcp]
#
# Exit codes are those of the tools: 0 done, 1 failed, 2 usage, 3 refused, 4 damaged, 5 not permitted.
set -uo pipefail

usage() {
    echo "usage: checkpoint.sh PID -o FILE [--kill | --leave-running] [--close-tcp]" >&2
    exit 2
}

pid='' file='' then=run
export FLOE_SOCKETS=''
while (($#)); do
    case $1 in
        -o) (($# > 1)) || usage; file=$2; shift ;;
        --kill) then=kill ;;
        --leave-running) then=run ;;
        # Established TCP connections are restored as closed ones.
        --close-tcp) FLOE_SOCKETS=--close-tcp ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) usage ;;
        *) [[ -z $pid ]] || usage; pid=$1 ;;
    esac
    shift
done
[[ -n $pid && -n $file ]] || usage
export FLOE_IMAGE=$file

# The bulk crosses one pipe only: pages come last. The first stage that failed says why, so its status counts.
# shellcheck disable=SC2086  # empty, or one option
exec freeze $FLOE_SOCKETS --then "$then" "$pid" -- bash -c '
    dumpfs $FLOE_SOCKETS | aufsfix | dumpmem | imgpack -o "$FLOE_IMAGE"
    for status in "${PIPESTATUS[@]}"; do
        ((status == 0)) || exit "$status"
    done'
