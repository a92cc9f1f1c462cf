#!/usr/bin/env bash
# Moves a process tree to another machine: it is killed here when it runs there.
#
#   migrate.sh PID HOST [OPTION …]
#   migrate.sh PID --by COMMAND [OPTION …]
#
# restore is run by ssh(1) on HOST, or by COMMAND, to which `sh -c LINE` is added (`nsenter -t 4711 -a`, `podman exec -i NAME`).
# floe must be installed there. doc/migrate.md says what is where when something dies on the way.
#
#   --to OPTION          an option of restore; may be repeated (--to --on-change=accept)
#   --rounds N           before the stop, send the memory up to N times while the tree runs: once all of it, then what has changed
#   --move COMMAND       a command for sh that is run when the tree is complete there and stands still here, to move its
#                        addresses along; where it fails, the tree runs on here
#   --move-back COMMAND  one that is run where the tree runs on here all the same
#   --lazy               let it run there before its memory is there: it is fetched when it is touched, and all of it behind that,
#                        while the tree stands still here
#
# Each other OPTION is one of freeze (--tcp WHAT, --outside WHAT, --on-change RULE, --cgroup MODE, --timens, --strict), of dumpmnt
# (--carry-root), of dumpfs (--carry PATTERN) or of aufsfix (--branches FILE, --proc DIR, --sysfs DIR).
#
# Exit codes are those of the tools: 0 it runs there, and not here any more; 1 failed, 2 usage, 3 refused, 4 damaged, 5 not
# permitted: it runs on here, and not there; 6: it is stopped here and may run there, or with --lazy has run there, which must
# be looked at by hand.
set -uo pipefail
# The tools are beside this script, on PATH, or where cargo builds them.
here=$(dirname "$(readlink -f "$0")")
PATH=$here:$PATH:${CARGO_TARGET_DIR:-$here/../target}/release

usage() {
    sed -n '2,24s/^# \{0,1\}//p' "$0"
}

# Each argument as a word of sh.
quoted() {
    local word
    for word; do printf " '%s'" "${word//\'/\'\\\'\'}"; done
}

pid='' host='' by='' move='' back='' lazy='' rounds=0
# What freeze is asked for travels in the stream, to every later stage.
for_freeze=() for_dumpmnt=() for_dumpfs=() for_aufsfix=() for_restore=()
while (($#)); do
    # An option and its value, which may be one word.
    words=("$1")
    case $1 in
        --by | --to | --rounds | --move | --move-back | --tcp | --outside | --on-change | --cgroup | --carry | --branches | --proc | --sysfs)
            (($# > 1)) || { usage >&2; exit 2; }
            words+=("$2"); shift ;;
    esac
    case ${words[0]} in
        --by) by=${words[1]} ;;
        --to) for_restore+=("${words[1]}") ;;
        --rounds) rounds=${words[1]} ;;
        --move) move=${words[1]} ;;
        --move-back) back=${words[1]} ;;
        --tcp | --tcp=* | --close-tcp | --strict | --timens | --outside | --outside=* | --on-change | --on-change=* | --cgroup | --cgroup=*) for_freeze+=("${words[@]}") ;;
        --lazy) lazy=1 ;;
        --carry-root) for_dumpmnt+=("${words[@]}") ;;
        --carry | --carry=*) for_dumpfs+=("${words[@]}") ;;
        --branches | --branches=* | --proc | --proc=* | --sysfs | --sysfs=*) for_aufsfix+=("${words[@]}") ;;
        -h | --help) usage; exit 0 ;;
        -V | --version) exec freeze --version ;;
        -*) echo "migrate.sh: unknown option ${words[0]}" >&2; usage >&2; exit 2 ;;
        *)
            if [[ -z $pid ]]; then pid=$1
            elif [[ -z $host ]]; then host=$1
            else usage >&2; exit 2; fi ;;
    esac
    shift
done
[[ -n $pid && -n $host$by && ( -z $host || -z $by ) && $rounds =~ ^[0-9]+$ ]] || { usage >&2; exit 2; }

# What is run while the tree stands still, with the stream as descriptor 8 and freeze behind descriptor 9.
held() {
    local move=$1 back=$2 lazy=$3 mounts=$4 carry=$5 fix=$6 way there statuses word left=''
    shift 6
    local for_dumpmnt=("${@:1:mounts}") for_dumpfs=("${@:mounts + 1:carry}") for_aufsfix=("${@:mounts + carry + 1:fix}")
    way=("${@:mounts + carry + fix + 1}")
    fail() { # STATUS SENTENCE
        echo "migrate.sh: $2" >&2
        exit "$1"
    }
    # It was about to run there, and does not.
    undo() { # SENTENCE
        [[ -z $back ]] || sh -c "$back" 6<&- 7>&- 9>&- || echo "migrate.sh: --move-back has failed" >&2
        fail 1 "$1"
    }
    # The next line with one of these words from there; none when the way ends.
    hear() { while read -r word <&6; do [[ $word == "$1" ]] && return; done; false; }

    # What stays here when it runs there is written down in a file without a name.
    if [[ -n $lazy ]]; then
        left=$(mktemp) && exec 5<> "$left" && rm "$left" || exit 1
        left=/dev/fd/5
    fi
    coproc far { exec "${way[@]}" 5<&- 8<&- 9>&-; }
    there=$far_PID
    exec 6<&"${far[0]}" 7>&"${far[1]}" || exit 1
    exec {far[0]}<&- {far[1]}>&-
    { dumpmnt "${for_dumpmnt[@]}" | dumpfs "${for_dumpfs[@]}" | aufsfix "${for_aufsfix[@]}" | dumpmem ${left:+--leave "$left"}; } <&8 >&7 6<&- 7>&- 8<&- 9>&-
    statuses=("${PIPESTATUS[@]}")
    trap '' PIPE
    if ! (worst "${statuses[@]}") || ! hear built; then
        exec 7>&- 6<&- 8<&-
        wait "$there"
        statuses=("$?" "${statuses[@]}")
        # A way that has failed says no more than that.
        ((statuses[0] <= 5)) || statuses[0]=1
        (worst "${statuses[@]}")
        word=$?
        ((word > 0)) || word=1
        fail "$word" "it runs on here"
    fi
    exec 8<&-
    if [[ -n $move ]] && ! sh -c "$move" 6<&- 7>&- 9>&-; then undo "--move has failed: it runs on here"; fi
    # Up to here it runs on here in any case. From here on it does not, whatever dies.
    echo commit >&9
    read -r word <&9 && [[ $word == committed ]] || undo "freeze has gone"
    if ! echo go >&7; then
        echo revoke >&9
        read -r word <&9
        undo "the other side is gone: it runs on here"
    fi
    [[ -n $left ]] || exec 7>&-
    hear runs || fail 6 "the way has ended before it was said that the tree runs there: look there"
    # It runs there while its memory is still here.
    [[ -z $left ]] || servemem "$left" <&6 >&7 9>&- || fail 6 "not all of its memory has come there: it has ended there"
}
# The first stage that failed says why; but one that fails (1) because the one behind it has gone is outdone by what that one says.
worst() {
    local status first=0
    for status in "$@"; do
        ((first == 0)) && first=$status
        ((first == 1 && (status == 2 || status == 3 || status == 5))) && first=$status
    done
    exit "$first"
}
export -f held worst

[[ -z $lazy ]] || for_restore+=(--lazy)
# there LINE: the command that runs it on the other side, in the array `way`.
there() {
    if [[ -n $host ]]; then
        way=(ssh -- "$host" "$1")
    else
        way=(bash -c "$by"' sh -c "$1"' migrate.sh "$1")
    fi
}
on_the_other_side() { local way; there "$1"; "${way[@]}"; }
# Rounds go on while each has less than half of what the one before had, and more than this many bytes, which a stop is short for.
readonly few=$((16 << 20))

# Sends the memory while the tree runs, as images of a chain in a directory there.
chain='' directory=''
ahead() {
    local round id last='' size before=0 how
    directory=$(on_the_other_side 'umask 077; mktemp -d "${TMPDIR:-/tmp}/floe-XXXXXXXX"' < /dev/null) && [[ $directory == /*/floe-* ]] || {
        echo "migrate.sh: unable to make a directory there: it runs on here" >&2
        exit 1
    }
    for ((round = 0; round < rounds; round++)); do
        id=$(tr -d - < /proc/sys/kernel/random/uuid)
        how=(--track)
        [[ -z $last ]] || how=(--since "$last")
        freeze "${for_freeze[@]}" "${how[@]}" --id "$id" "$pid" | dumpmnt "${for_dumpmnt[@]}" | dumpfs "${for_dumpfs[@]}" |
            aufsfix "${for_aufsfix[@]}" | dumpmem | on_the_other_side "exec imgpack --no-sync -o $directory/$round"
        statuses=("${PIPESTATUS[@]}")
        if ! (worst "${statuses[@]}"); then
            (worst "${statuses[@]}")
            status=$?
            on_the_other_side "rm -rf $directory" < /dev/null
            echo "migrate.sh: it runs on here" >&2
            exit "$((status <= 5 ? status : 1))"
        fi
        last=$id
        chain+=" $directory/$round"
        size=$(on_the_other_side "stat -c %s $directory/$round" < /dev/null)
        if ((round > 0)) && ((size < few || size * 2 > before)); then break; fi
        before=$size
    done
    for_freeze+=(--since "$last")
}
if ((rounds > 0)); then
    [[ -z $lazy ]] || { echo "migrate.sh: --rounds and --lazy are two ways to a short stop: choose one" >&2; exit 2; }
    ahead
fi

# Receipts travel back on standard output, where nothing of the tree may come between.
restore="restore --detach --receipt 3$(quoted "${for_restore[@]}") 3>&1 > /dev/null"
far="exec $restore"
if [[ -n $directory ]]; then
    # The last part, and the chain as a stream; what comes behind that on the way is for restore. What writes to a floe tool waits until
    # that closes its end, which this shell has as well, so cat(1) stands between.
    far="trap 'rm -rf $directory' EXIT
        cat | { imgpack --no-sync -o $directory/last && { imgpack --merge$chain $directory/last | cat; exec cat; } | $restore; }"
fi
there "$far"

exec freeze "${for_freeze[@]}" --then kill --stream-fd 8 --commit-fd 9 "$pid" -- bash -c 'held "$@"' migrate.sh \
    "$move" "$back" "$lazy" "${#for_dumpmnt[@]}" "${#for_dumpfs[@]}" "${#for_aufsfix[@]}" \
    "${for_dumpmnt[@]}" "${for_dumpfs[@]}" "${for_aufsfix[@]}" "${way[@]}"
