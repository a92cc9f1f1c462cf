#!/usr/bin/env bash
# Compares floe with CRIU: checkpoint, pause, restore, size of the image; in alternating rounds on the same target.
#
#   bench.sh [-r ROUNDS] [-s "MIB …"] [-d "DIRECTORY …"]
#
# Prints medians and, behind them, the best of all rounds. Without CRIU (see get-criu.sh) the column of floe stands alone. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=6 sizes='1 1024' places="/dev/shm ${TMPDIR:-/var/tmp}"
while getopts r:s:d:h option; do
    case $option in
        r) rounds=$OPTARG ;;
        s) sizes=$OPTARG ;;
        d) places=$OPTARG ;;
        *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[[ $(id -u) == 0 ]] || { echo "bench.sh: needs root" >&2; exit 5; }
PATH=$("$here/build.sh"):$here:$PATH
tools=(floe)
if criu=$("$here/get-criu.sh"); then tools+=(criu); else echo "bench.sh: no criu, floe alone" >&2; fi

dir='' pid=''
clean() {
    [[ -z $pid ]] || kill -9 "$pid" 2> /dev/null || true
    [[ -z $dir ]] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

floe_dump() { checkpoint.sh "$pid" -o "$dir/image" "$@"; }
floe_restore() { restore.sh "$dir/image" --detach; }
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

pause_since() { # LINES: the longest stand-still that the target has noted since, in milliseconds
    tail -n "+$(($1 + 1))" "$dir/gaps" | sort -n | tail -n 1 | awk '{ print $1 / 1000 }'
}

gone() { while [[ -e /proc/$pid ]]; do sleep 0.01; done; }

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
    if [[ $1 == floe ]]; then stat -c %s "$dir/image"; else du -sb "$dir/criu" | cut -f1; fi > "$dir/$1.size"
    sleep 0.2
}

best() { sort -n "$1" | head -n 1; }
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

row() { # WHAT UNIT FACTOR
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

peak() { # the largest resident size of any tool of a checkpoint and of a restore, in MiB
    python3 - "$@" << 'SCRIPT'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(f"  peak memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:11.2f} MiB  ({sys.argv[1]})")
SCRIPT
}

target() { # MIB
    rm -f "$dir/gaps"
    setsid fixture-bench "$1" "$dir/gaps" < /dev/null > /dev/null 2>&1 &
    pid=$!
    disown "$pid"
    until grep -q ready "$dir/gaps" 2> /dev/null; do sleep 0.05; done
}
stop() { kill -9 "$pid" 2> /dev/null || true; gone; }

for place in $places; do
    for size in $sizes; do
        dir=$(mktemp -d "$place/floe-bench.XXXXXX")
        for ((round = 0; round < rounds; round++)); do
            # A tool that goes first finds memory that was never used, which costs more on a virtual machine.
            order=("${tools[@]}")
            ((round % 2 == 0)) || order=("${tools[@]: -1}" "${tools[@]:0:${#tools[@]}-1}")
            for tool in "${order[@]}"; do
                # A fresh target each time: CRIU leaves it in a time namespace, which floe refuses.
                target "$size"
                one_round "$tool"
                stop
            done
        done
        echo "$size MiB, $(stat -f -c %T "$place"), $rounds rounds: medians of floe and criu, their ratio; the best of each, their ratio"
        row checkpoint ms 1000
        row synced ms 1000
        row pause ms 1
        row restore ms 1000
        row size MiB 0.00000095367
        target "$size"
        peak checkpoint.sh "$pid" -o "$dir/image" --kill
        gone
        peak restore.sh "$dir/image" --detach
        stop
        clean
    done
done

# How many references aufsfix rewrites in a second.
dir=$(mktemp -d /dev/shm/floe-bench.XXXXXX) pid=''
count=1000000
fixture-references $count "$dir"
filter() { aufsfix --proc "$dir/proc" --sysfs "$dir/sysfs" < "$dir/stream" > /dev/null; }
for ((round = 0; round < 3; round++)); do clock filter; echo "$took" >> "$dir/times"; done
median "$dir/times" | awk -v n=$count '{ printf "aufsfix: %d references, %.0f a second\n", n, n / $1 }'
