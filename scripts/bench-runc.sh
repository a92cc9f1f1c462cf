#!/usr/bin/env bash
# Compares floe with CRIU in the place of criu: `runc checkpoint` and `runc restore` of a container of busybox that sleeps.
#
#   bench-runc.sh [-r ROUNDS] [-p NAME=COMMAND] [-t]
#
# Prints the medians, and behind them the best, of all rounds (20): floe, CRIU, their ratio (below 1: floe is faster). Both are
# started by a shell script as small as can be, since CRIU needs libraries of its own. Without CRIU (see get-criu.sh) floe stands
# alone. -p measures another program in the place of criu as well, -t prints the times of each round. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=20 each=0 others=()
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
while getopts r:p:th option; do
    case $option in
        r) rounds=$OPTARG ;;
        p) others+=("$OPTARG") ;;
        t) each=1 ;;
        *) usage ;;
    esac
done
[[ $(id -u) == 0 ]] || { echo "bench-runc.sh: needs root" >&2; exit 5; }
for program in runc busybox; do
    type -p "$program" > /dev/null || { echo "bench-runc.sh: there is no $program" >&2; exit 69; }
done
tools=$("$here/build.sh")
names=(floe)
if criu=$("$here/get-criu.sh"); then names+=(criu); else echo "bench-runc.sh: no criu, floe alone" >&2; fi

dir=$(mktemp -d /dev/shm/floe-bench.XXXXXX)
id=${dir##*/}
box() { runc --root "$dir/state" --log "$dir/runc.log" "$@"; }
clean() {
    box delete -f "$id" > /dev/null 2>&1 || true
    find /sys/fs/cgroup -depth -type d -name "$id" -exec rmdir {} + 2> /dev/null || true
    rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

program() { # NAME COMMAND: what is first on PATH as criu
    mkdir "$dir/$1"
    printf '#!/bin/sh\nexec %s "$@"\n' "$2" > "$dir/$1/criu"
    chmod +x "$dir/$1/criu"
}
program floe "$tools/criu-front"
[[ ${#names[@]} == 1 ]] || program criu "$criu"
for other in "${others[@]}"; do
    program "${other%%=*}" "${other#*=}"
    names+=("${other%%=*}")
done

mkdir -p "$dir"/bundle/rootfs/{bin,proc,sys,dev}
cp "$(type -p busybox)" "$dir/bundle/rootfs/bin/busybox"
(cd "$dir/bundle" && runc spec)
sed -i -e 's|"terminal": true|"terminal": false|' -e "s|\"linux\": {|&\"cgroupsPath\": \"/$id\",|" \
    -e '/"args": \[/,/\]/c"args": ["/bin/busybox", "sleep", "100000"],' "$dir/bundle/config.json"

# Seconds that a command takes are added to a file.
clock() { # FILE COMMAND...
    local file=$1 begin=$EPOCHREALTIME; shift
    "$@" > "$dir/said" 2>&1 < /dev/null || { echo "bench-runc.sh: failed: $*" >&2; cat "$dir/said" "$dir"/work/*.log >&2; exit 1; }
    bc <<< "scale=6; $EPOCHREALTIME - $begin" >> "$dir/$file.times"
}
one_round() { # NAME
    local PATH=$dir/$1:$PATH
    rm -rf "$dir/images" "$dir/work"
    mkdir "$dir/images" "$dir/work"
    clock "$1.checkpoint" box checkpoint --image-path "$dir/images" --work-path "$dir/work" "$id"
    sleep 0.1
    clock "$1.restore" box restore -d --bundle "$dir/bundle" --image-path "$dir/images" --work-path "$dir/work" "$id"
    sleep 0.1
}
for ((round = 0; round < rounds; round++)); do
    for ((n = 0; n < ${#names[@]}; n++)); do
        # A fresh container each time: what CRIU has restored is in a time namespace, which floe refuses.
        box run -d --bundle "$dir/bundle" "$id" > /dev/null 2>&1 < /dev/null
        one_round "${names[(n + round) % ${#names[@]}]}"
        box delete -f "$id"
    done
done

best() { sort -n "$1" | head -n 1; }
median() { sort -n "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
echo "runc with a container of busybox, $rounds rounds: medians of floe and criu, their ratio; the best of each, their ratio"
for what in checkpoint restore; do
    for of in median best; do
        awk -v of="$of" -v what="$what" -v a="$("$of" "$dir/floe.$what.times")" -v b="$([[ ! -e $dir/criu.$what.times ]] || "$of" "$dir/criu.$what.times")" 'BEGIN {
            if (of == "median") printf "  %-11s", what
            printf " %9.1f ms", a * 1000
            if (b != "") printf " %9.1f ms %7.2f", b * 1000, a / b
        }'
    done
    echo
    for other in "${others[@]}"; do
        printf '    with %s: %.1f ms\n' "${other%%=*}" "$(bc <<< "1000 * $(median "$dir/${other%%=*}.$what.times")")"
    done
    ((each == 0)) || for name in "${names[@]}"; do printf '    %s: %s\n' "$name" "$(tr '\n' ' ' < "$dir/$name.$what.times")"; done
done
