# A pid that is taken is named; in a pid namespace of its own the copy runs beside the original.
start log bash -c 'while sleep 0.02; do echo $BASHPID $((++n)); done'
until_true 10 grep -q ' 3$' log
checkpoint.sh "$pid" -o image --leave-running --on-change "append:$PWD/log"
expect_exit 3 restore --detach < image
grep -q "is taken by bash" stderr || fail "$(cat stderr)"
lines=$(wc -l < log)
restore.sh image --detach --new-pidns --pidfile copy.pid
copy=$(cat copy.pid)
[[ $(awk '/^NSpid/ { print $NF }' "/proc/$copy/status") == "$pid" ]] || fail "the copy has not its old pid inside"
kill -9 -- "-$pid"; wait "$pid" 2> /dev/null || true
sleep 0.1; lines=$(wc -l < log)
grows log || fail "the copy stands still"
init=$(awk '/^PPid/ { print $2 }' "/proc/$copy/status")
kill -TERM "$copy"
until_true 5 test ! -e "/proc/$copy"
until_true 5 test ! -e "/proc/$init"

# In the foreground the status of the root task comes back, through the init as well.
start log bash -c 'while sleep 0.02; do [[ -e stop ]] && exit 42; done'
checkpoint_kill "$pid" image
touch stop
expect_exit 42 restore.sh image
expect_exit 42 restore.sh image --new-pidns
rm stop
restore.sh image --new-pidns & waiter=$!
sleep 0.5
pkill -KILL -P "$(pgrep -P "$waiter")" -x bash
wait "$waiter" && fail "killed, and restore says done" || status=$?
[[ $status == 137 ]] || fail "status $status instead of 137"
