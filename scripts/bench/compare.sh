# The rows of bench.sh that compare floe and CRIU on fixture-bench, and the one about aufsfix.

# Which function measures a row.
runs() { # ROW
    case $1 in
        references | redis | migrate | pipeline) echo "$1" ;;
        node | java) echo server ;;
        dirty*) echo dirty ;;
        *) echo compare ;;
    esac
}
is_row() { # ROW
    local later situation memory size
    case $1 in
        references | redis | node | java | dirty1 | dirty10 | pipeline | migrate) ;;
        *) fixture "$1" ;;
    esac
}

# What fixture-bench is to set up for a row, about how many MiB its image has, and how many of them are memory.
fixture() { # ROW
    local many few
    many=$(scaled 10000 100) few=$(scaled 3000 100) memory=0 later=()
    case $1 in
        *[0-9]MiB) size=$(scaled "${1%MiB}" $((${1%MiB} / 64 + 1))) memory=$size situation=("$size") ;;
        mappings) size=64 memory=$((many / 256)) situation=(1 --mappings "$many") ;;
        reserved) size=8 situation=(1 --reserved "$many") ;;
        sparse) size=64 memory=$(scaled 41 1) situation=(1 --sparse "$(scaled 4096 64)") ;;
        descriptors) size=8 situation=(1 --descriptors "$few") ;;
        files) size=8 situation=(1 --files "$few") ;;
        eventfds) size=8 situation=(1 --eventfds "$few") ;;
        mixed) size=8 situation=(1 --mixed "$many") ;;
        threads) size=16 situation=(1 --threads "$(scaled 500 20)") ;;
        crowd) size=64 situation=(1 --threads "$(scaled 5000 50)") ;;
        processes) size=256 situation=(1 --processes "$(scaled 1000 20)") ;;
        tree) size=256 situation=(1 --tree "$(scaled 1000 20)") ;;
        lazy) size=$(scaled 4096 32) memory=$size situation=("$size") later=(--lazy) ;;
        *) return 1 ;;
    esac
    [[ -z $small ]] || ((size <= 32)) || size=32
}

# With -s one row is enough to show that this works.
in_full() { [[ -z $small || $row == 1MiB ]]; }

# Checkpoints with a target that runs on. CRIU does not wait for the disk, so it is compared with a floe that does not either.
runs_on() { # TOOL
    local lines no_sync=()
    lines=$(wc -l < "$dir/gaps")
    [[ $1 == criu ]] || no_sync=(--no-sync)
    fresh
    clock "$1_dump" --leave-running "${no_sync[@]}" || return
    add "$1" checkpoint "$took"
    sleep 0.1
    add "$1" pause "$(pause_since "$lines")"
    if [[ $1 == floe ]] && in_full; then
        fresh
        clock floe_dump --leave-running || return
        add floe synced "$took"
    fi
}

# A checkpoint that kills, and the restore; its memory must be what it was.
comes_back() { # TOOL
    local before lines begin
    asked USR1 hash
    before=$answer
    fresh
    clock "$1_dump" --kill || return
    gone
    lines=$(wc -l < "$dir/gaps")
    touched
    begin=$EPOCHREALTIME
    clock "$1_restore" || return
    add "$1" restore "$took"
    woke_since "$lines" "$begin"
    add "$1" first "$answer"
    patiently 120 no_pager
    asked USR1 hash
    [[ $answer == "$before" ]] || { echo "the memory is another behind the restore" > "$dir/stderr"; return 1; }
    add "$1" same 1
    if [[ $1 == floe ]]; then stat -c %s "$dir/image"; else du -sb "$dir/criu" | cut -f1; fi > "$dir/times/$1.size"
}
no_pager() { ! pgrep -x floe-pager > /dev/null; }

# Processor time and the largest resident size of any process, once: to measure them takes time itself. What restored tasks
# have used before they run is theirs, so it is added.
spends() { # TOOL
    local kib seconds own
    fresh
    watched "$1_dump" --kill || return
    read -r kib seconds < "$dir/usage"
    add "$1" cpu-dump "$seconds"
    add "$1" peak-dump "$kib"
    gone
    watched "$1_restore" || return
    read -r kib seconds < "$dir/usage"
    # A process may end while they are read.
    own=$({ cat /proc/[0-9]*/stat 2> /dev/null || true; } |
        awk -v group="$pid" -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, "") } $3 == group { sum += $12 + $13 } END { printf "%.2f", sum / tick }')
    add "$1" cpu-restore "$(bc <<< "$seconds + $own")"
    add "$1" peak-restore "$kib"
}
# fixture-peak must start the command itself, which is a function here.
watched() {
    export dir pid criu
    export -f floe_dump floe_restore criu_dump criu_restore
    LATER=${later[*]-} fixture-peak bash -c 'later=($LATER); "$@" > /dev/null' bench.sh "$@" > "$dir/usage" 2> "$dir/stderr" < /dev/null
}

compare() {
    local round order tool
    fixture "$row"
    limits "$memory"
    for ((round = 0; round < rounds; round++)); do
        # A tool that goes first finds memory that was never used, which costs more on a virtual machine.
        order=("${used[@]}")
        ((round % 2 == 0)) || order=("${used[@]: -1}" "${used[@]:0:${#used[@]}-1}")
        for tool in "${order[@]}"; do
            # A fresh target each time: CRIU leaves it in a time namespace, which floe refuses.
            target
            if ! runs_on "$tool"; then failed "$tool" checkpoint
            elif ! comes_back "$tool"; then failed "$tool" "checkpoint and restore"; fi
            stop
            sleep "$(scaled 0.2 0)"
        done
    done
    for tool in "${used[@]}"; do
        in_full || break
        target
        spends "$tool" || failed "$tool" "checkpoint and restore"
        stop
    done
    title
    line checkpoint ms 1000 "$writing"
    line synced ms 1000
    line pause ms 1 "$copying"
    line restore ms 1000 "$copying"
    line first ms 1000 "$copying"
    line size MiB 0.00000095367
    line cpu-dump ms 1000
    line cpu-restore ms 1000
    line peak-dump MiB 0.00097656
    line peak-restore MiB 0.00097656
    note "the memory is the same behind each of $(cat "$dir"/times/*.same | wc -l) restores"
}

filter() { aufsfix --proc "$dir/proc" --sysfs "$dir/sysfs" < "$dir/stream"; }
references() {
    local count round
    count=$(scaled 1000000 1000)
    fixture-references "$count" "$dir"
    for ((round = 0; round < rounds; round++)); do
        clock filter || failed floe aufsfix
        add floe seconds "$took"
    done
    title
    line seconds s 1
    note "$(sort -n "$dir/times/floe.seconds" | head -n 1 | awk -v n="$count" '{ printf "aufsfix rewrites %.0f references a second", n / $1 }')"
}
