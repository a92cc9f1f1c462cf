# A tree with pid, network, IPC and UTS namespaces of its own: captured from outside of them, and back in new ones.
spaces() { for kind in pid net ipc uts; do readlink "/proc/$1/ns/$kind"; done; }
not_there() { ! pgrep -x "$1" > /dev/null; }
no_init() { ! pgrep -P "$unshare" > /dev/null; }
start_own() { # SCRIPT: sets unshare and init
    rm -f log
    setsid unshare --pid --net --ipc --uts --fork bash -c "exec > log 2>&1; $1" < /dev/null > said 2>&1 &
    unshare=$!
    until_true 10 grep -qs 5 log
    init=$(pgrep -P "$unshare")
}
counts='hostname boxy; echo here > /proc/sys/kernel/domainname
    sleep 1000 & child=$!; trap "exit 42" USR1
    while sleep 0.02; do kill -0 $child || exit 1; echo $$ $((++n)); done'
start_own "$counts"
before=$(spaces "$init")
expect_exit 0 freeze --check "$init"
checkpoint.sh "$init" -o image --leave-running
grows log || fail "it was left running, and stands still"
[[ $(spaces "$init") == "$before" ]] || fail "it is in other namespaces"
checkpoint.sh "$init" -o image --kill
until_true 5 no_init
wait "$unshare" && fail "it was killed, and unshare(1) says that it is well"
# Its ids in the stream are those inside.
[[ $(processes image | head -n 1) == 1 ]] || fail "$(processes image)"

for round in 1 2; do
    restore_detached image --pidfile pid --on-change "append:$PWD/log"
    root=$(cat pid)
    [[ $(awk '/^NSpid/ { print $NF }' "/proc/$root/status") == 1 ]] || fail "the root is not pid 1"
    for kind in pid net ipc uts; do
        [[ $(readlink "/proc/$root/ns/$kind") != "$(readlink "/proc/self/ns/$kind")" ]] || fail "it is in our $kind namespace"
    done
    [[ $(nsenter -t "$root" -u uname -n) == boxy ]] || fail "it has lost its host name"
    [[ $(nsenter -t "$root" -u cat /proc/sys/kernel/domainname) == here ]] || fail "it has lost its domain name"
    [[ $(uname -n) != boxy ]] || fail "the host has its name now"
    grows log || fail "it stands still after restore $round"
    # The second generation.
    checkpoint.sh "$root" -o image --kill
done
awk '$1 != 1 || $2 != ++n { exit 1 }' log || fail "a number is lost or doubled: $(cat log)"

# COMMAND belongs where freeze was started, and its status decides.
start_own "$counts"
expect_exit 7 freeze --then kill "$init" -- bash -c 'readlink /proc/self/ns/{pid,net,ipc,uts,mnt} > seen; cat > /dev/null; exit 7'
[[ $(cat seen) == "$(readlink /proc/self/ns/{pid,net,ipc,uts,mnt})" ]] || fail "$(cat seen)"
grows log || fail "COMMAND has failed, and the tree stands still"
# What ends freeze ends COMMAND, and the tree runs on.
for signal in TERM KILL; do
    freeze --then kill "$init" -- bash -c 'echo $$ > command; sleep 999' & freeze=$!
    until_true 10 test -s command
    kill -"$signal" "$freeze"
    wait "$freeze" && fail "freeze was ended and says that it is well"
    grows log || fail "freeze has got SIG$signal, and the tree stands still"
    [[ $signal == KILL ]] || until_true 5 test ! -e "/proc/$(cat command)"
    rm command
done
# Each stage is two processes: here, and where the tree is.
for victim in freeze dumpfs aufsfix dumpmem; do
    for which in --oldest --newest; do
        for ms in 2 5 10 20 40; do
            freeze "$init" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o never; sleep 0.1' 2> /dev/null &
            holder=$!
            sleep "0.$(printf %03d "$ms")"
            pkill -9 "$which" -x "$victim" || true
            wait "$holder" 2> /dev/null || true
            until_true 5 not_there "$victim"
            grows log || fail "$victim ($which) was killed after $ms ms, and the tree stands still"
        done
    done
done
kill -9 "$init"
wait "$unshare" || true
