#!/usr/bin/env bash
# Compares floe with CRIU: checkpoint, pause, restore, size of the image; in alternating rounds on the same target.
#
#   bench.sh [-o DIRECTORY] [-r ROUNDS] [-w "ROW ..."] [-d "DIRECTORY ..."] [-a] [-s]
#
#   -o  writes results.md and results.svg there         -r  rounds (6)
#   -w  only these rows; `all` for every one            -d  where images are written (/dev/shm and TMPDIR or /var/tmp)
#   -a  floe alone, without CRIU                        -s  everything small: it shows that all works, and no figures
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
#   redis         1 GiB under load: what a client waits while it is checkpointed and runs on
#   node java     a small HTTP server: from the start of restore to the first answer, against CRIU and a cold start
#   dirty1 dirty10  1 GiB, of which 1 % or 10 % has changed since the image before, against a full image
#   pipeline      1 GiB through freeze alone, then with one stage more each time
#   migrate       1 GiB to other namespaces of this machine: all of it in the stop, in rounds, lazily
#   references    how many references to files aufsfix rewrites in a second
#
# Prints medians, and behind them the best, of all rounds: floe, CRIU, their ratio (above 1: floe is better). Without
# CRIU (see get-criu.sh) the column of floe stands alone. FLOE_TOOLS names a directory with tools that are to be used as
# they are; else they are built. `taskset 1 bench.sh` measures on one core. Needs root. doc/bench.md tells more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=6 places="/dev/shm ${TMPDIR:-/var/tmp}" output='' alone='' small=''
usual='1MiB 1024MiB mappings reserved sparse descriptors files eventfds mixed threads crowd processes tree'
usual+=' redis node java dirty1 dirty10 pipeline migrate references'
wanted=$usual
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
while getopts o:r:w:d:ash option; do
    case $option in
        o) output=$OPTARG ;;
        r) rounds=$OPTARG ;;
        w) wanted=$OPTARG ;;
        d) places=$OPTARG ;;
        a) alone=1 ;;
        s) small=1 ;;
        *) usage ;;
    esac
done
[[ $wanted != all ]] || wanted="$usual lazy"
for part in lib compare servers dirty pipes; do
    # shellcheck source=/dev/null
    . "$here/bench/$part.sh"
done
for name in $wanted; do
    is_row "$name" || { echo "bench.sh: no row $name" >&2; usage; }
done
[[ $(id -u) == 0 ]] || { echo "bench.sh: needs root" >&2; exit 5; }
if [[ -z ${FLOE_BENCH_INSIDE-} ]]; then
    FLOE_TOOLS=${FLOE_TOOLS:-$("$here/build.sh")}
    FLOE_BENCH_CRIU=''
    [[ -n $alone ]] || FLOE_BENCH_CRIU=$("$here/get-criu.sh") || echo "bench.sh: no criu, floe alone" >&2
    export FLOE_TOOLS FLOE_BENCH_CRIU FLOE_BENCH_INSIDE=floe-bench.$$
    clean_up() {
        [[ -z ${inside-} ]] || kill -9 "$inside" 2> /dev/null || true
        for place in $places; do rm -rf "$place/$FLOE_BENCH_INSIDE".*; done
    }
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # A pid namespace ends with all that was started in it, and its init, which is the script itself, reaps at once: a process
    # that nobody has waited for keeps its session from being captured again.
    unshare --pid --fork --kill-child --mount-proc "$here/bench.sh" "$@" &
    inside=$!
    status=0
    wait "$inside" || status=$?
    inside=''
    exit "$status"
fi
# Descriptors of the world outside would be in what is captured, and belong to mounts that are not here.
exec < /dev/null
for fd in /proc/$$/fd/*; do
    fd=${fd##*/}
    ((fd < 3 || fd == 255)) || eval "exec $fd>&-"
done
PATH=$FLOE_TOOLS:$here:$PATH
tools=(floe) criu=$FLOE_BENCH_CRIU
[[ -z $criu ]] || tools+=(criu)
records=$(mktemp "${places%% *}/$FLOE_BENCH_INSIDE.XXXXXX")
trap clean EXIT
about

for place in $places; do
    kind=$(stat -f -c %T "$place")
    for row in $wanted; do
        # Those that write no image, or are not about where it lies, are measured once.
        case $row in
            references | redis | node | java | pipeline | migrate) [[ $place == "${places%% *}" ]] || continue ;;
        esac
        begin_row
        "$(runs "$row")"
        clean
        page
    done
done
