#!/usr/bin/env bash
# Checkpoints a process tree into an image file.
#
#   checkpoint.sh PID -o FILE [--kill | --leave-running] [--close-tcp] [--outside WHAT] [--on-change RULE]… [--strict] [--no-sync]
#
# Exit codes are those of the tools: 0 done, 1 failed, 2 usage, 3 refused, 4 damaged, 5 not permitted.
set -uo pipefail
# The tools are on PATH, beside this script, or where cargo builds them.
here=$(dirname "$(readlink -f "$0")")
PATH=$PATH:$here:${CARGO_TARGET_DIR:-$here/../target}/release

usage() {
    echo "usage: checkpoint.sh PID -o FILE [--kill | --leave-running] [--close-tcp] [--outside WHAT] [--on-change RULE]… [--strict] [--no-sync]" >&2
    exit 2
}

pid='' file='' then=run sync=''
# What freeze is asked for travels in the stream, to every later stage.
options=()
while (($#)); do
    case $1 in
        -o) (($# > 1)) || usage; file=$2; shift ;;
        --kill) then=kill ;;
        --leave-running) then=run ;;
        # Established TCP connections as closed ones; a loss as a refusal; what stands for files of the world outside.
        --close-tcp | --strict) options+=("$1") ;;
        # What becomes of files that changed; may be repeated.
        --outside | --on-change) (($# > 1)) || usage; options+=("$1" "$2"); shift ;;
        # Do not wait until the image is on the disk.
        --no-sync) sync=--no-sync ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) usage ;;
        *) [[ -z $pid ]] || usage; pid=$1 ;;
    esac
    shift
done
[[ -n $pid && -n $file ]] || usage
if [[ $file == - && ! -e /proc/self/fd/1 ]]; then
    echo "checkpoint.sh: standard output is closed: there is no place for the image" >&2
    exit 2
fi

# The bulk crosses one pipe only: pages come last. The first stage that failed says why, so its status counts; but a
# stage that fails (1) because the one behind it has gone is outdone by what that one says.
worst() {
    local status first=0
    for status in "$@"; do
        ((first == 0)) && first=$status
        ((first == 1 && (status == 2 || status == 3 || status == 5))) && first=$status
    done
    exit "$first"
}
export -f worst
if [[ $then == run ]]; then
    # The target runs on as soon as imgpack has all of the stream; it need not wait for the disk. The stages are a
    # process group of their own, so that whoever ends this script ends them all.
    set -m
    # shellcheck disable=SC2086  # empty, or one option
    (
        freeze "${options[@]}" "$pid" | dumpfs | aufsfix | dumpmem | imgpack $sync -o "$file"
        worst "${PIPESTATUS[@]}"
    ) &
    stages=$!
    trap 'kill -TERM -- "-$stages" 2> /dev/null' INT TERM HUP
    wait "$stages"
    status=$?
    # A signal ends the first wait: the stages have heard of it as well.
    while kill -0 "$stages" 2> /dev/null; do wait "$stages"; status=$?; done
    exit "$status"
else
    # Held until the image is safe, and it is known that it could be restored here; then killed before it runs another
    # instruction. An image that goes to standard output cannot be asked.
    export FLOE_IMAGE=$file FLOE_SYNC=$sync
    exec freeze "${options[@]}" --then kill "$pid" -- bash -c '
        dumpfs | aufsfix | dumpmem | imgpack $FLOE_SYNC -o "$FLOE_IMAGE"
        (worst "${PIPESTATUS[@]}") || exit
        [[ $FLOE_IMAGE == - ]] || restore --plan < "$FLOE_IMAGE" > /dev/null'
fi
