# Threads that wait in system calls notice nothing of checkpoints that leave them running, nor does what these have written
# down of them: a restore of the last image goes on in the same calls.
ip link set lo up 2> /dev/null || true
begin() {
    start log env PYTHONDONTWRITEBYTECODE=1 python3 "$FLOE_FIXTURES/interrupted.py"
    until_true 30 grep -Eq "ready|Error" log; grep -q ready log || fail "$(cat log)"
    for round in 1 2 3; do
        checkpoint.sh "$pid" -o "image$round" || fail "checkpoint $round: exit $?"
        sleep 0.1
    done
}
end() {
    kill -USR1 "$pid"
    until_true 30 grep -Eq 'passed|FAILED' log
    grep -q passed log || fail "$1: $(cat log)"
    kill -9 -- "-$pid" 2> /dev/null || true
}

begin
end "left running"
begin
checkpoint_kill "$pid" image
restore_detached image
end "restored"
# A freeze that must give the target back in the midst of its work.
begin
strace -q -o trace -e trace=ptrace -e inject=ptrace:error=EIO:when=150 freeze "$pid" -- true 2> stderr || true
grep -q INJECTED trace || fail "nothing was injected: $(cat stderr)"
end "given back"
