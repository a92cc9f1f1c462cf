#!/usr/bin/env bash
# Checkpoints a process tree into an image file.
#
#   checkpoint.sh PID -o FILE [--kill | --leave-running]
#
# Exit codes are those of the tools: 0 done, 1 failed, 2 usage, 3 refused, 4 damaged, 5 not permitted.
set -uo pipefail

usage() {
    echo "usage: checkpoint.sh PID -o FILE [--kill | --leave-running]" >&2
    exit 2
}

pid='' file='' then=run
while (($#)); do
    case $1 in
        -o) (($# > 1)) || usage; file=$2; shift ;;
        --kill) then=kill ;;
        --leave-running) then=run ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) usage ;;
        *) [[ -z $pid ]] || usage; pid=$1 ;;
    esac
    shift
done
[[ -n $pid && -n $file ]] || usage
export FLOE_IMAGE=$file

# The bulk crosses one pipe only: pages come last. The first stage that failed says why, so its status counts.
exec freeze --then "$then" "$pid" -- bash -c '
    dumpfs | aufsfix | dumpmem | imgpack -o "$FLOE_IMAGE"
    for status in "${PIPESTATUS[@]}"; do
        ((status == 0)) || exit "$status"
    done'
