# One fixture of tests/fixtures/refused ($1): freeze --check and the checkpoint refuse it with the same sentences, among
# them those that the fixture names, and leave the target alone.
ip link set lo up 2> /dev/null || true
fixture=$FLOE_FIXTURES/refused/$1.py
start log env PYTHONPATH="$FLOE_FIXTURES" PYTHONDONTWRITEBYTECODE=1 python3 "$fixture"
fixture_pid=$pid
until_true 30 grep -Eq '^(ready|SKIPPED)|Error' log
if grep SKIPPED log; then exit 0; fi
target=$(sed -n 's/^ready //p' log)
[[ -n $target ]] || fail "$(cat log)"
# It may still be on its way to where it waits.
sleep 0.1

below() { # PID: it and all below it
    local task
    echo "$1"
    for task in $(cat "/proc/$1/task/"*/children 2> /dev/null); do below "$task"; done
}
snapshot() { # of the tree: what it maps; of each thread whether it stands still, who traces it, which signals it blocks
    local p task
    for p in $(below "$target"); do
        cat "/proc/$p/maps"
        for task in "/proc/$p/task/"*; do
            echo "$task"
            awk '/^State/ { print $2 ~ /[tTZX]/ ? $2 : "lives" } /^TracerPid|^SigBlk|^ShdPnd|^SigPnd/' "$task/status"
        done
    done
}

# What shows only when the target stands still is refused by the checkpoint alone.
ways=(--check checkpoint)
if grep -q '^# behind the stop' "$fixture"; then
    freeze --check "$target" > out || fail "it shows before the stop: $(cat stderr)"
    ways=(checkpoint)
fi
before=$(snapshot)
for way in "${ways[@]}"; do
    words=(freeze "$target" -- cat)
    [[ $way == checkpoint ]] || words=(freeze --check "$target")
    expect_exit 3 "${words[@]}" > out
    [[ ! -s out ]] || fail "$way wrote something: $(head -c 1000 out)"
    while read -r sentence; do
        grep -q -- "^freeze: pid [0-9]*: .*$sentence" stderr || fail "$way does not say \"$sentence\": $(cat stderr)"
    done < <(sed -n 's/^# refused: //p' "$fixture")
    sort stderr > "$way"
    [[ $(snapshot) == "$before" ]] || fail "$way has touched the target: $(diff <(echo "$before") <(snapshot))"
done
grep -q '^# refused: ' "$fixture" || fail "the fixture names no sentence"
((${#ways[@]} == 1)) || cmp -s -- --check checkpoint || fail "two answers: $(diff -- --check checkpoint)"
kill -USR1 "$fixture_pid"
until_true 10 grep -q passed log
