# The rows of bench.sh about the pipe: what each stage adds, and where it leads to a restore elsewhere.

# The same target through freeze alone, then with one stage more each time; what comes out is thrown away up to imgpack.
pipeline() {
    local round stage rest nth
    memory=$(scaled 1024 16)
    size=$memory situation=("$memory")
    limits "$memory"
    target
    for ((round = 0; round < rounds; round++)); do
        fresh
        clock freeze "$pid" -- true || failed floe freeze
        add floe 1-freeze "$took"
        rest='' nth=1
        for stage in dumpmnt dumpfs aufsfix dumpmem "imgpack --no-sync -o '$dir/image'"; do
            rest+="${rest:+ | }$stage" nth=$((nth + 1))
            # shellcheck disable=SC2016
            clock freeze "$pid" -- bash -o pipefail -c "$rest > /dev/null" || failed floe "$rest"
            add floe "$nth-${stage%% *}" "$took"
        done
    done
    title
    for stage in 1-freeze 2-dumpmnt 3-dumpfs 4-aufsfix; do line "$stage" ms 1000; done
    line 5-dumpmem ms 1000 "$copying"
    line 6-imgpack ms 1000 "$writing"
}

# Namespaces that stand for another machine, kept by $there.
other_side() {
    local keeper
    unshare -m -n -p -f --mount-proc --kill-child bash -c 'sleep infinity & wait' > /dev/null 2>&1 < /dev/null &
    keeper=$!
    disown "$keeper"
    helpers+=("$keeper")
    patiently 10 pgrep -P "$keeper" bash > /dev/null
    there=$(pgrep -P "$keeper" bash)
    patiently 10 elsewhere
    # So that nothing there has the number of what comes.
    "${over[@]}" sh -c 'echo 100000 > /proc/sys/kernel/ns_last_pid' || true
}
elsewhere() {
    over=(nsenter -t "$there" -m -n -p)
    [[ $(readlink "/proc/$there/ns/pid") != "$(readlink /proc/self/ns/pid)" ]] && "${over[@]}" true 2> /dev/null
}

moves() { # HOW OPTION…
    local how=$1 before lines; shift
    target
    other_side
    asked USR1 hash
    before=$answer
    touched
    lines=$(wc -l < "$dir/gaps")
    clock migrate.sh "$pid" --by "${over[*]}" --to --join=net=here --to --join=mnt=here --on-change "append:$dir/gaps" "$@" || return
    add floe "$how-total" "$took"
    patiently 60 has_woken "$lines"
    sleep 0.1
    add floe "$how-down" "$(pause_since "$lines")"
    asked USR1 hash "${over[@]}"
    [[ $answer == "$before" ]] || { echo "the memory is another behind the move" > "$dir/stderr"; return 1; }
    "${over[@]}" kill -9 "$pid"
    kill -9 "${helpers[@]}" 2> /dev/null || true
    helpers=()
    gone
}

migrate() {
    local round there over how
    memory=$(scaled 1024 16)
    size=$memory situation=("$memory")
    limits "$memory"
    for ((round = 0; round < rounds; round++)); do
        moves stop || failed floe migrate.sh
        moves rounds --rounds 3 || failed floe "migrate.sh --rounds"
        moves lazy --lazy || failed floe "migrate.sh --lazy"
    done
    title
    for how in stop rounds lazy; do
        line "$how-total" ms 1000 "$copying"
        line "$how-down" ms 1
    done
    note "the memory is the same behind each of $((3 * rounds)) moves"
}
