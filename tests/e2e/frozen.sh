# What is frozen by its cgroup is captured without running an instruction, and comes back frozen. Nothing else is thawed with it,
# and whatever ends freeze, it is frozen again.
name=floe-frozen-$RANDOM$RANDOM
mount_cgroups "cgroup2 rw" "cgroup freezer"
pid='' stranger=''
end() {
    local top
    for top in "${tops[@]}"; do
        [[ -e $top/$name ]] || continue
        freezer "$top/$name" 0
        kill -9 $pid $stranger 2> /dev/null || true
        until_true 5 rmdir "$top/$name"
    done
}
trap end EXIT
freezer() { # CGROUP 1|0
    if [[ -e $1/cgroup.freeze ]]; then echo "$2" > "$1/cgroup.freeze"; else
        if (($2)); then echo FROZEN; else echo THAWED; fi > "$1/freezer.state"
    fi
}
is_frozen() { # CGROUP
    if [[ -e $1/cgroup.events ]]; then grep -q "^frozen 1" "$1/cgroup.events"; else [[ $(cat "$1/freezer.state") == FROZEN ]]; fi
}
stands() { # CGROUP: it is frozen, and the target writes nothing
    local size
    until_true 5 is_frozen "$1" || fail "$1 is not frozen: $2"
    size=$(stat -c %s log)
    sleep 0.3
    [[ $(stat -c %s log) == "$size" ]] || fail "it runs: $2"
}

frozen() { # TOP
    local group=$1/$name size
    mkdir "$group"
    start log bash -c 'while :; do echo $((++n)); sleep 0.01; done'
    echo "$pid" > "$group/cgroup.procs"
    grows log || fail "it does not run"
    freezer "$group" 1
    until_true 5 is_frozen "$group"
    size=$(stat -c %s log)
    if [[ $1 == */freezer && $(readlink /proc/self/ns/pid) != "pid:[4026531836]" ]]; then
        # Version 1 does not show who else would be thawed.
        expect_exit 3 freeze "$pid" -- cat
        grep -q "$name: it is frozen, and what else would be thawed is not seen from this pid namespace" stderr ||
            fail "$(cat stderr)"
        stands "$group" "when it was refused"
        end
        return
    fi
    freeze --check "$pid" || fail "--check: exit $?"
    stands "$group" "after --check"
    checkpoint.sh "$pid" -o image --leave-running || fail "checkpoint: exit $?"
    stands "$group" "after a checkpoint"
    [[ $(stat -c %s log) == "$size" ]] || fail "it has run in between"
    freeze "$pid" -- sleep 1000 & holder=$!
    until_true 5 grep -q "^TracerPid:.[1-9]" "/proc/$pid/status"
    until_true 5 pgrep -P "$holder" sleep > /dev/null
    is_frozen "$group" && fail "it was not thawed"
    kill -9 "$holder"; wait "$holder" 2> /dev/null || true
    stands "$group" "when freeze was killed"
    # Nobody could keep it from running until it was frozen again.
    size=$(stat -c %s log)

    # Nobody else runs for it.
    sleep 1000 & stranger=$!
    echo "$stranger" > "$group/cgroup.procs"
    until_true 5 is_frozen "$group"
    expect_exit 3 freeze "$pid" -- cat
    grep -q "$name: it is frozen, and process $stranger, which is not of the tree" stderr || fail "$(cat stderr)"
    stands "$group" "when it was refused"
    echo "$stranger" > "$1/cgroup.procs"
    kill -9 "$stranger"; wait "$stranger" 2> /dev/null || true
    stranger=

    checkpoint_kill "$pid" image
    is_frozen "$group" || fail "the cgroup of what was killed is not frozen any more"
    # It is empty: it is thawed while the tree is made.
    restore_detached image
    stands "$group" "restored into what was frozen"
    grep -q "$name" "/proc/$pid/cgroup" || fail "elsewhere: $(cat "/proc/$pid/cgroup")"
    # The second generation, into a cgroup that is made again.
    checkpoint_kill "$pid" image
    rmdir "$group"
    restore_detached image
    stands "$group" "restored into what was made again"
    # Not into one that is frozen with somebody in it.
    expect_exit 3 restore --detach --new-pidns < image
    grep -q "$name.*it is frozen here" stderr || fail "$(cat stderr)"
    [[ $(stat -c %s log) == "$size" ]] || fail "it has run in between"
    freezer "$group" 0
    grows log || fail "thawed, it does not run"
    kill -9 -- "-$pid"; all_gone "$pid"
    until_true 5 rmdir "$group"
}
for top in "${tops[@]}"; do frozen "$top"; done
