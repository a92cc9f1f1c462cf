# What all rows of bench.sh use: targets, clocks, and the records that the page is made of.

dir='' pid='' helpers=()

# A count or a size, or a small part of it with -s.
scaled() { # N SMALL
    if [[ -z $small ]]; then echo "$1"; else echo "$2"; fi
}

clean() {
    [[ -z $pid ]] || kill -9 -- "-$pid" 2> /dev/null || true
    ((${#helpers[@]} == 0)) || kill -9 "${helpers[@]}" 2> /dev/null || true
    [[ -z $dir ]] || rm -rf "$dir"
    dir='' pid='' helpers=()
}
die() { echo "bench.sh: $*" >&2; exit 1; }

patiently() { # SECONDS COMMAND…: until it succeeds
    local deadline=$((SECONDS + $1)); shift
    until "$@"; do
        ((SECONDS < deadline)) || die "$row: timed out waiting for: $*"
        sleep 0.02
    done
}

begin_row() {
    used=("${tools[@]}") later=() situation=() memory=0
    dir=$(mktemp -d "$place/$FLOE_BENCH_INSIDE.XXXXXX")
    mkdir "$dir/times"
}

# Seconds that a command takes, into $took.
clock() {
    local begin=$EPOCHREALTIME
    "$@" > /dev/null 2> "$dir/stderr" < /dev/null || return
    took=$(bc <<< "scale=6; $EPOCHREALTIME - $begin")
}

# Where floe fails, all ends; where CRIU does, the row goes on without it.
failed() { # TOOL WHAT
    local why
    why=$(tail -n 1 "$dir/stderr")
    [[ ! -s $dir/criu/log ]] || why=$(grep Error "$dir/criu/log" | grep -v RLIMIT | head -n 1)
    [[ $1 == criu ]] || die "$row: failed: $2: $(cat "$dir/stderr")"
    used=(floe)
    rm -f "$dir/times"/criu.*
    note "CRIU: $2 fails: $why"
}

# The situations of the programs that are measured are alike, but never the same: one without a file of its output.
target() { # the process that situation=(MIB OPTION…) asks for, as $pid
    rm -f "$dir/gaps"
    setsid fixture-bench "${situation[@]:1}" "${situation[0]}" "$dir/gaps" < /dev/null > /dev/null 2>&1 &
    pid=$!
    disown "$pid"
    patiently 120 grep -qs ready "$dir/gaps"
}
# All processes of the target are in its process group.
is_gone() { ! kill -0 -- "-$pid" 2> /dev/null; }
gone() { patiently 60 is_gone; }
stop() { kill -9 -- "-$pid" 2> /dev/null || true; gone; }

# asked SIGNAL WORD [PREFIX…]: has the target do it, and sets $answer to the word that it writes into its file.
asked() {
    local signal=$1 word=$2 before; shift 2
    before=$(grep -c "^$word" "$dir/gaps" || true)
    "$@" kill "-$signal" "$pid"
    patiently 120 answered "$word" "$before"
    answer=$(grep "^$word" "$dir/gaps" | tail -n 1 | cut -d' ' -f2)
}
answered() { (($(grep -c "^$1" "$dir/gaps" || true) > $2)); }

# The longest gap that the target has noted behind this line, in milliseconds. It notes none below 0.7.
pause_since() { # LINES
    tail -n "+$(($1 + 1))" "$dir/gaps" | awk '/^[0-9]/ && $1 > most { most = $1 } END { print (most > 700 ? most : 700) / 1000 }'
}
# When the target has woken for the first time behind this line, in seconds since TIME, into $answer.
woke_since() { # LINES TIME
    patiently 60 has_woken "$1"
    answer=$(tail -n "+$(($1 + 1))" "$dir/gaps" | awk -v begin="$2" '/^[0-9]/ && woke == "" { woke = $2 / 1e6 - begin } END { printf "%.6f", woke }')
}
has_woken() { [[ -n $(tail -n "+$(($1 + 1))" "$dir/gaps" | sed -n '/^[0-9]/p') ]]; }

# No tool finds images of the last round, or memory that the host of a virtual machine has taken back: that costs
# several times what is measured here. Pages that were just freed wait on a list of the CPU that freed them.
fresh() { rm -rf "$dir/image" "$dir/criu"; mkdir "$dir/criu"; touched; }
touched() {
    local cpu
    [[ -z $small ]] || return 0
    for ((cpu = 0; cpu < $(nproc); cpu++)); do
        taskset -c "$cpu" bash -c 'head -c "$2M" /dev/zero > "$1"; rm "$1"' - "$dir/touched" $((${size:-64} + 64)) 2> /dev/null || true
    done
}

floe_dump() { checkpoint.sh "$pid" -o "$dir/image" "$@"; }
floe_restore() { restore.sh "$dir/image" --detach "${later[@]}"; }
criu_dump() { # --kill or --leave-running, then options of criu
    local leave=()
    [[ $1 == --kill ]] || leave=(--leave-running)
    $criu dump -t "$pid" -D "$dir/criu" -v1 -o log "${leave[@]}" "${@:2}"
}
criu_restore() { $criu restore -D "$dir/criu" -d -v1 -o log "$@"; }

add() { echo "$3" >> "$dir/times/$1.$2"; } # TOOL LINE VALUE
# CRIU's value, or that of another way to do it, divided by floe's, that is to be reached.
goal() { # LINE
    [[ -z $small ]] || return 0
    case $row:$1:$kind in
        1MiB:checkpoint:*) echo 5 ;;
        1MiB:pause:*) echo 2 ;;
        1MiB:restore:*) echo 8 ;;
        1024MiB:pause:*) echo 30 ;;
        1024MiB:checkpoint:tmpfs) echo 1.3 ;;
        1024MiB:checkpoint:*) echo 1.7 ;;
        1024MiB:restore:*) echo 2.5 ;;
        lazy:restore:*) echo 100 ;;
        mappings:checkpoint:* | sparse:checkpoint:* | threads:checkpoint:* | processes:checkpoint:* | mixed:checkpoint:*) echo 3 ;;
        mappings:restore:* | sparse:restore:* | threads:restore:* | processes:restore:* | mixed:restore:*) echo 3 ;;
        redis:worst:*) echo 10 ;;
        dirty1:size:*) echo 50 ;;
    esac
}

# Prints a line of the row and adds it to the records: row, place, line, unit, floe's median and best, what stands against
# it, its median and best, goal, limit.
line() { # LINE UNIT FACTOR [LIMIT [AGAINST]]
    local against=${5:-criu} files=("$dir/times/floe.$1")
    [[ -e ${files[0]} ]] || return 0
    if [[ -e $dir/times/$against.$1 ]]; then files+=("$dir/times/$against.$1"); else against=''; fi
    awk -v row="$row" -v kind="$kind" -v what="$1" -v unit="$2" -v factor="$3" -v limit="${4-}" -v against="$against" \
        -v goal="$(goal "$1")" -v records="$records" '
        FNR == 1 { file++ }
        { # They are kept in order.
            for (at = ++count[file]; at > 1 && value[file, at - 1] > $1 + 0; at--) value[file, at] = value[file, at - 1]
            value[file, at] = $1 + 0
        }
        function median(of) { return (value[of, int((count[of] + 1) / 2)] + value[of, int(count[of] / 2) + 1]) / 2 * factor }
        function best(of) { return value[of, 1] * factor }
        function ratio(a, b) { return b > 0 ? a / b : 0 }
        END {
            pairs = median(1) "\t" best(1) "\t" against "\t" (against == "" ? "\t" : median(2) "\t" best(2))
            print row "\t" kind "\t" what "\t" unit "\t" pairs "\t" goal "\t" limit >> records
            printf "  %-12s %11.2f %s", what, median(1), unit
            if (against != "") printf " %11.2f %s %7.2f", median(2), unit, ratio(median(2), median(1))
            printf "   best %11.2f", best(1)
            if (against != "") printf " %11.2f %7.2f", best(2), ratio(best(2), best(1))
            print against == "" || against == "criu" ? "" : "  (" against ")"
        }' OFMT=%.6g CONVFMT=%.9g "${files[@]}"
}
title() { echo "$row, $kind, $rounds rounds: medians of floe and of what stands against it, their ratio; the best of each"; }
# A sentence below the row.
note() {
    printf '%s\t%s\tnote\t%s\n' "$row" "$kind" "$*" >> "$records"
    echo "  $row: $*"
}
skip() { note "SKIPPED: $*"; }

# What the hardware takes for MIB of memory: into $copying and $writing, milliseconds.
limits() { # MIB
    copying='' writing=''
    (($1 == 0)) || read -r copying writing < <(python3 "$here/bench/limits.py" "$1" "$dir/limit")
}

about() {
    {
        printf 'about\tfloe\t%s\n' "$(freeze --version)"
        [[ ${#tools[@]} == 1 ]] || printf 'about\tCRIU\t%s\n' "$($criu --version | head -n 1)"
        printf 'about\tmachine\t%s\n' "Linux $(uname -r), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
        printf 'about\trounds\t%s\n' "$rounds"
        [[ -z $small ]] || printf 'about\tsmall\t%s\n' "all sizes are small (-s): these are no figures"
    } >> "$records"
}
# It is written behind each row, so that a run that ends early leaves one, too.
page() {
    [[ -n $output ]] || return 0
    mkdir -p "$output"
    python3 "$here/bench/page.py" "$output" < "$records"
}
