# What is sent to restore in the foreground reaches the root task, through the init of a pid namespace as well.
start log bash -c 'trap "echo term >> heard; exit 7" TERM; trap "echo usr >> heard" USR1; echo ready; while :; do sleep 0.02; done'
until_true 10 grep -q ready log
checkpoint_kill "$pid" image
# It has blocked SIGUSR1, and not all signals, as one does for a moment that starts another program.
waits() {
    local mask
    mask=0x$(awk '/^SigBlk/ { print $2 }' "/proc/$waiter/status")
    ((mask & 1 << 9 && !(mask & 1 << 27)))
}
count() { [[ $(grep -c "^$1$" heard) == "$2" ]]; }
round=0
for how in "" --new-pidns; do
    ((++round))
    restore $how < image & waiter=$!
    until_true 10 waits
    kill -USR1 "$waiter"
    until_true 10 count usr "$round" || fail "restore $how keeps the signal to itself"
    kill -TERM "$waiter"
    status=0; wait "$waiter" || status=$?
    [[ $status == 7 ]] || fail "restore $how: status $status instead of 7"
    count term "$round" || fail "it did not come to its handler"
done
# One that restore was told to ignore ends nobody.
(trap '' HUP; exec restore < image) & waiter=$!
until_true 10 waits
kill -HUP "$waiter"
sleep 0.2
kill -TERM "$waiter"
status=0; wait "$waiter" || status=$?
[[ $status == 7 ]] || fail "status $status instead of 7 behind an ignored signal"
