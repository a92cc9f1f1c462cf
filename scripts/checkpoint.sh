#!/usr/bin/env bash
# Checkpoints a process tree into an image file.
#
#   checkpoint.sh PID [-o FILE] [--kill | --leave-running] [OPTION …]
#
# FILE is NAME-PID.floe by default, NAME being that of the program. An OPTION is one of freeze (--tcp WHAT, --outside WHAT,
# --on-change RULE, --cgroup MODE, --timens, --empty KIND, --strict, --pause short|long, --track, --since IMAGE), of dumpmnt (--carry-root), of dumpfs (--carry PATTERN), of aufsfix (--branches FILE, --proc DIR,
# --sysfs DIR) or of imgpack (--compress HOW, --no-sync, --progress-fd N).
#
# Exit codes are those of the tools: 0 done, 1 failed, 2 usage, 3 refused, 4 damaged, 5 not permitted.
set -uo pipefail
# The tools are beside this script, on PATH, or where cargo builds them. No program is started to find that out: a small process
# is checkpointed in the time of a few.
here=$0
[[ ! -L $here ]] || here=$(readlink -f "$here")
[[ $here == */* ]] || here=./$here
here=${here%/*}/
PATH=$here:$PATH:${CARGO_TARGET_DIR:-${here}../target}/release

usage() {
    sed -n '2,10s/^# \{0,1\}//p' "$0"
}

pid='' file='' then=run
# What freeze is asked for travels in the stream, to every later stage.
for_freeze=() for_dumpmnt=() for_dumpfs=() for_aufsfix=() for_imgpack=()
while (($#)); do
    # An option and its value, which may be one word.
    words=("$1")
    case $1 in
        -o | --tcp | --outside | --pause | --since | --id | --on-change | --empty | --cgroup | --carry | --branches | --proc | --sysfs | --compress | --progress-fd)
            (($# > 1)) || { usage >&2; exit 2; }
            words+=("$2"); shift ;;
    esac
    case ${words[0]} in
        -o) file=${words[1]} ;;
        --kill) then=kill ;;
        --leave-running) then=run ;;
        --tcp | --tcp=* | --close-tcp | --strict | --timens | --outside | --outside=* | --on-change | --on-change=* | --empty | --empty=* | --cgroup | --cgroup=* | --pause | --pause=* | --track | --since | --since=* | --id | --id=*) for_freeze+=("${words[@]}") ;;
        --carry-root) for_dumpmnt+=("${words[@]}") ;;
        --carry | --carry=*) for_dumpfs+=("${words[@]}") ;;
        --branches | --branches=* | --proc | --proc=* | --sysfs | --sysfs=*) for_aufsfix+=("${words[@]}") ;;
        --no-sync | --compress | --compress=* | --progress-fd | --progress-fd=*) for_imgpack+=("${words[@]}") ;;
        -h | --help) usage; exit 0 ;;
        -V | --version) exec freeze --version ;;
        -*) echo "checkpoint.sh: unknown option ${words[0]}" >&2; usage >&2; exit 2 ;;
        *) [[ -z $pid ]] || { usage >&2; exit 2; }; pid=$1 ;;
    esac
    shift
done
[[ -n $pid ]] || { usage >&2; exit 2; }
if [[ -z $file ]]; then
    # Of a pid that names no process freeze says so.
    name=$(tr -c 'A-Za-z0-9._\n-' _ 2> /dev/null < "/proc/$pid/comm") || name=process
    file=${name#.}-$pid.floe
fi
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
    # process group of their own, so that a signal that ends this script ends them all.
    set -m
    (
        freeze "${for_freeze[@]}" "$pid" | dumpmnt "${for_dumpmnt[@]}" | dumpfs "${for_dumpfs[@]}" | aufsfix "${for_aufsfix[@]}" |
            dumpmem | imgpack "${for_imgpack[@]}" -o "$file"
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
    # As words of their own, so that no name can be mistaken for a command.
    exec freeze "${for_freeze[@]}" --then kill "$pid" -- bash -c '
        file=$1 carry=$2 fix=$3 root=$4
        shift 4
        dumpmnt ${root:+"$root"} | dumpfs "${@:1:carry}" | aufsfix "${@:carry + 1:fix}" | dumpmem | imgpack "${@:carry + fix + 1}" -o "$file"
        (worst "${PIPESTATUS[@]}") || exit
        [[ $file == - ]] || restore --plan < "$file" > /dev/null
    ' checkpoint.sh "$file" "${#for_dumpfs[@]}" "${#for_aufsfix[@]}" "${for_dumpmnt[*]-}" "${for_dumpfs[@]}" "${for_aufsfix[@]}" "${for_imgpack[@]}"
fi
