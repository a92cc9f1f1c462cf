# covers: Thread
# 64 threads whose vector registers hold known values that each thread checks itself.
start log "$FLOE_TOOLS/fixture-vectors" 64
until_true 20 grep -q ready log
checkpoint_kill "$pid" image
restore_detached image
[[ $(ls "/proc/$pid/task" | wc -l) == 65 ]] || fail "not 65 tasks"
sleep 0.3
kill -USR1 "$pid"
until_true 20 grep -Eq 'passed|FAILED' log
grep -q passed log || { cat log; fail "registers were lost"; }
