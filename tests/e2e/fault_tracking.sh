# freeze is killed while it begins to keep track of what is written: the target goes on as if nobody had come, nothing of ours
# stays in it, and nobody takes a track that was lost for one.
cat > target.py <<'SCRIPT'
import time
n = 0
while True:
    n += 1
    print(n, flush=True)
    time.sleep(0.02)
SCRIPT
start log python3 target.py
until_true 20 test -s log
count() { # OPTIONS…: calls of ptrace(2)
    strace -q -o trace -e trace=ptrace freeze "$@" "$pid" -- true 2> stderr || fail "$(cat stderr)"
    grep -c '^ptrace' trace
}
state() { ls "/proc/$pid/fd" "/proc/$pid/task"; sed 's/^Threads.*//' "/proc/$pid/maps"; pgrep -P "$pid" || true; }
plain=$(count)
before=$(state)
all=$(count --track)
until_true 5 pgrep -x floe-keeper > /dev/null
kill -9 "$(pgrep -x floe-keeper)"
((all > plain + 20)) || fail "it takes $all calls, and $plain without it"
step=4
[[ -z ${FLOE_ALL_FAULTS-} ]] || step=1
for ((n = plain - 20; n <= all; n += step)); do
    id=$(printf %032x "$n")
    strace -q -o trace -e trace=ptrace -e inject=ptrace:signal=SIGKILL:when="$n" freeze --track --id "$id" "$pid" -- true 2> stderr || true
    grep -q 'killed by' trace || break
    [[ $(awk '/^State/ { print $2 }' "/proc/$pid/status") == [RSD] ]] || fail "it stands still behind call $n"
    # It unmaps by itself what it was lent.
    until_true 5 eval '[[ $(state) == "$before" ]]' || fail "call $n leaves $(diff <(echo "$before") <(state))"
    until_true 5 eval "! pgrep -x floe-keeper > /dev/null" || fail "a keeper is left behind call $n"
    expect_exit 3 freeze --since "$id" "$pid" -- true
done
grows log || fail "it stands still"
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
end_group "$pid"
