# One fixture of tests/fixtures ($1): checkpointed twice, the second time from the restored one. It is restored in its own
# directory, and in another one.
ip link set lo up 2> /dev/null || true
start log env PYTHONDONTWRITEBYTECODE=1 python3 "$FLOE_FIXTURES/$1.py"
until_true 30 grep -Eq "ready|SKIPPED|Error" log
if grep SKIPPED log; then exit 0; fi
grep -q ready log || fail "$(cat log)"
for round in 1 2; do
    checkpoint_kill "$pid" "image$round"
    image=$PWD/image$round
    elsewhere=.; [[ $round == 1 ]] || elsewhere=/
    notes=$PWD/notes$round
    (cd "$elsewhere" && restore_detached "$image" 2> "$notes") || fail "$(cat "$notes")"
    # What is the same is not told to be otherwise.
    if ! grep -q '^# noted: F_GETFL' "$FLOE_FIXTURES/$1.py"; then
        ! grep -F F_GETFL "$notes" || fail "flags differ after restore $round"
    fi
    sleep 0.1
    [[ -e /proc/$pid ]] || fail "it died after restore $round: $(cat log)"
done
kill -USR1 "$pid"
until_true 30 grep -Eq 'passed|FAILED' log
grep -q passed log || fail "$(cat log)"
