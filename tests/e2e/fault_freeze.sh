# freeze is killed, or fails, at one ptrace call after the other: the target goes on as if nobody had come.
start log bash -c 'while sleep 0.02; do echo $((++n)); done | cat'
counter=$pid
start vectors "$FLOE_TOOLS/fixture-vectors" 3
spinner=$pid
until_true 20 grep -q ready vectors
until_true 20 test -s log
maps=$(cat "/proc/$counter/maps" "/proc/$spinner/maps")

at_call() { # FAULT N PID: true when there was an N-th call to be hit
    strace -q -o trace -e trace=ptrace -e inject=ptrace:"$1":when="$2" freeze "$3" -- true 2> stderr || true
    grep -Eq 'INJECTED|killed by' trace
}

for fault in signal=SIGKILL error=EIO; do
    for target in "$counter" "$spinner"; do
        n=$((1 + first)) hits=0
        while at_call "$fault" "$n" "$target"; do
            # Close together at first, where every call is another one; then the questions repeat.
            ((hits += 1, n += n < 80 ? stride : n * stride / 20))
            for task in "/proc/$target/task/"*; do
                state=$(awk '/^State/ { print $2 }' "$task/status")
                [[ $state == [RSD] ]] || fail "$task is left in state $state after $fault at call $n"
            done
        done
        ((hits > 60 / stride)) || fail "only $hits calls were hit: $(cat stderr)"
    done
    grows log || fail "the counter stands still after $fault"
done
now=$(cat "/proc/$counter/maps" "/proc/$spinner/maps")
[[ $now == "$maps" ]] || fail "an address space changed: $(diff <(echo "$maps") <(echo "$now"))"
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
kill -USR1 "$spinner"
until_true 20 grep -Eq 'passed|FAILED' vectors
grep -q passed vectors || fail "registers were lost"
