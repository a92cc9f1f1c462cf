#!/usr/bin/env bash
# Compares floe with CRIU: checkpoint, pause, restore, size of the image; in alternating rounds on the same target.
#
#   bench.sh [-r ROUNDS] [-w "ROW ..."] [-d "DIRECTORY ..."]
#
# ROWs, by default all of them but lazy:
#   1MiB 1024MiB  a process with this much memory of random bytes; any other number works too
#   mappings      10,000 mappings, a page of each written     reserved     10,000 mappings, no page written
#   sparse        a 4 GiB mapping, 1 % of its pages written   threads      500 threads that sleep
#   descriptors   3,000 files, eventfds, pipes, socket pairs  processes    1,000 children that sleep
#   files         3,000 regular files                         eventfds     3,000 eventfds
#   mixed         10,000 descriptors of ten kinds             crowd        5,000 threads that sleep
#   tree          1,000 processes that sleep, eight deep
#   lazy          4 GiB of random bytes, and floe restores with --lazy: the time until it runs. CRIU brings all before that
#   references    how many references to files aufsfix rewrites in a second
#
# Prints the medians, and behind them the best, of all rounds: floe, CRIU, their ratio (below 1: floe is faster). Without
# CRIU (see get-criu.sh) the column of floe stands alone. `taskset 1 bench.sh` measures on one core. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=6 places="/dev/shm ${TMPDIR:-/var/tmp}"
wanted='1MiB 1024MiB mappings reserved sparse descriptors files eventfds mixed threads crowd processes tree references'
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
while getopts r:w:d:h option; do
    case $option in
        r) rounds=$OPTARG ;;
        w) wanted=$OPTARG ;;
        d) places=$OPTARG ;;
        *) usage ;;
    esac
done

# What fixture-bench is to set up for a row, and about how many MiB its image has.
fixture() { # ROW
    later=()
    case $1 in
        *[0-9]MiB) size=${1%MiB} situation=("$size") ;;
        mappings) size=64 situation=(1 --mappings 10000) ;;
        reserved) size=8 situation=(1 --reserved 10000) ;;
        sparse) size=64 situation=(1 --sparse 4096) ;;
        descriptors) size=8 situation=(1 --descriptors 3000) ;;
        files) size=8 situation=(1 --files 3000) ;;
        eventfds) size=8 situation=(1 --eventfds 3000) ;;
        mixed) size=8 situation=(1 --mixed 10000) ;;
        threads) size=16 situation=(1 --threads 500) ;;
        crowd) size=64 situation=(1 --threads 5000) ;;
        processes) size=256 situation=(1 --processes 1000) ;;
        tree) size=256 situation=(1 --tree 1000) ;;
        lazy) size=4096 situation=(4096) later=(--lazy) ;;
        *) return 1 ;;
    esac
}
for name in $wanted; do
    [[ $name == references ]] || fixture "$name" || { echo "bench.sh: no row $name" >&2; usage; }
done
[[ $(id -u) == 0 ]] || { echo "bench.sh: needs root" >&2; exit 5; }
PATH=$("$here/build.sh"):$here:$PATH
tools=(floe)
if criu=$("$here/get-criu.sh"); then tools+=(criu); else echo "bench.sh: no criu, floe alone" >&2; fi

dir='' pid=''
clean() {
    [[ -z $pid ]] || kill -9 -- "-$pid" 2> /dev/null || true
    [[ -z $dir ]] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

floe_dump() { checkpoint.sh "$pid" -o "$dir/image" "$@"; }
floe_restore() { restore.sh "$dir/image" --detach "${later[@]}"; }
criu_dump() {
    local leave=()
    [[ $1 == --kill ]] || leave=(--leave-running)
    $criu dump -t "$pid" -D "$dir/criu" -v0 -o log "${leave[@]}"
}
criu_restore() { $criu restore -D "$dir/criu" -d -v0 -o log; }

# Seconds that a command takes, into $took.
clock() {
    local begin=$EPOCHREALTIME
    "$@" > /dev/null 2> "$dir/stderr" || { echo "bench.sh: failed: $*" >&2; cat "$dir/stderr" >&2; exit 1; }
    took=$(bc <<< "scale=6; $EPOCHREALTIME - $begin")
}

pause_since() { # LINES: the longest gap that the target has noted since, in milliseconds
    tail -n "+$(($1 + 1))" "$dir/gaps" | sort -n | tail -n 1 | awk '{ print $1 / 1000 }'
}

# All processes of the target are in its process group.
gone() { while kill -0 -- "-$pid" 2> /dev/null; do sleep 0.01; done; }

# No tool finds images of the last round, or memory that the host of a virtual machine has taken back: that costs
# several times what is measured here. Pages that were just freed wait on a list of the CPU that freed them.
fresh() { rm -rf "$dir/image" "$dir/criu"; mkdir "$dir/criu"; touched; }
touched() {
    local cpu
    for ((cpu = 0; cpu < $(nproc); cpu++)); do
        taskset -c "$cpu" bash -c 'head -c "$2M" /dev/zero > "$1"; rm "$1"' - "$dir/touched" $((size + 64))
    done
}

one_round() { # TOOL
    local lines no_sync=()
    lines=$(wc -l < "$dir/gaps")
    fresh
    # CRIU does not wait for the disk, so it is compared with a floe that does not either.
    [[ $1 == criu ]] || no_sync=(--no-sync)
    clock "$1_dump" --leave-running "${no_sync[@]}"
    echo "$took" >> "$dir/$1.checkpoint"
    sleep 0.1
    pause_since "$lines" >> "$dir/$1.pause"
    if [[ $1 == floe ]]; then
        fresh
        clock floe_dump --leave-running
        echo "$took" >> "$dir/floe.synced"
    fi
    fresh
    clock "$1_dump" --kill
    gone
    touched
    clock "$1_restore"
    echo "$took" >> "$dir/$1.restore"
    while pgrep -x floe-pager > /dev/null; do sleep 0.02; done
    if [[ $1 == floe ]]; then stat -c %s "$dir/image"; else du -sb "$dir/criu" | cut -f1; fi > "$dir/$1.size"
    sleep 0.2
}

best() { sort -n "$1" | head -n 1; }
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

line() { # WHAT UNIT FACTOR
    local of mine theirs
    for of in median best; do
        mine=$("$of" "$dir/floe.$1")
        theirs=$([[ -e $dir/criu.$1 ]] && "$of" "$dir/criu.$1" || echo '')
        awk -v of="$of" -v what="$1" -v unit="$2" -v factor="$3" -v a="$mine" -v b="$theirs" 'BEGIN {
            if (of == "median") printf "  %-11s", what
            printf " %11.2f %s", a * factor, unit
            if (b != "") printf " %11.2f %s %7.2f", b * factor, unit, a / b
        }'
    done
    echo
}

peak() { # the largest resident size of any tool of a checkpoint or a restore, in MiB
    local kib
    kib=$(fixture-peak "$@" 2> "$dir/stderr") || { echo "bench.sh: failed: $*" >&2; cat "$dir/stderr" >&2; exit 1; }
    awk -v kib="$kib" -v of="$1" 'BEGIN { printf "  peak memory %11.2f MiB  (%s)\n", kib / 1024, of }'
}

target() {
    rm -f "$dir/gaps"
    setsid fixture-bench "${situation[@]:1}" "${situation[0]}" "$dir/gaps" < /dev/null > /dev/null 2>&1 &
    pid=$!
    disown "$pid"
    until grep -q ready "$dir/gaps" 2> /dev/null; do sleep 0.05; done
}
stop() { kill -9 -- "-$pid" 2> /dev/null || true; gone; }

compare() { # ROW PLACE
    local round order tool
    fixture "$1"
    dir=$(mktemp -d "$2/floe-bench.XXXXXX")
    for ((round = 0; round < rounds; round++)); do
        # A tool that goes first finds memory that was never used, which costs more on a virtual machine.
        order=("${tools[@]}")
        ((round % 2 == 0)) || order=("${tools[@]: -1}" "${tools[@]:0:${#tools[@]}-1}")
        for tool in "${order[@]}"; do
            # A fresh target each time: CRIU leaves it in a time namespace, which floe refuses.
            target
            one_round "$tool"
            stop
        done
    done
    echo "$1, $(stat -f -c %T "$2"), $rounds rounds: medians of floe and criu, their ratio; the best of each, their ratio"
    line checkpoint ms 1000
    line synced ms 1000
    line pause ms 1
    line restore ms 1000
    line size MiB 0.00000095367
    target
    peak checkpoint.sh "$pid" -o "$dir/image" --kill
    gone
    peak restore.sh "$dir/image" --detach "${later[@]}"
    stop
    clean
}

filter() { aufsfix --proc "$dir/proc" --sysfs "$dir/sysfs" < "$dir/stream" > /dev/null; }
references() {
    local count=1000000 round
    dir=$(mktemp -d /dev/shm/floe-bench.XXXXXX) pid=''
    fixture-references $count "$dir"
    for ((round = 0; round < 3; round++)); do clock filter; echo "$took" >> "$dir/times"; done
    median "$dir/times" | awk -v n=$count '{ printf "aufsfix: %d references, %.0f a second\n", n, n / $1 }'
    clean
}

for place in $places; do
    for name in $wanted; do
        [[ $name == references ]] || compare "$name" "$place"
    done
done
[[ " $wanted " != *' references '* ]] || references
