# Somebody else's session or process group has the number of a process of the tree by now: one clear sentence, and nothing is left.
start log sleep 1000
target=$pid
checkpoint_kill "$target" image

lead() { # PYTHON: it leads a session and a group with the number of the target, and ends; a child of it does PYTHON and stays
    echo $((target - 1)) > /proc/sys/kernel/ns_last_pid
    python3 -c '
import os, signal, sys
assert os.getpid() == int(sys.argv[1]), os.getpid()
os.setsid()
r, w = os.pipe()
if os.fork() == 0:
    exec(sys.argv[2])
    os.write(w, str(os.getpid()).encode())
    signal.pause()
print(os.read(r, 10).decode())' "$target" "$1" > member &
    wait $! || fail "no process got the number"
    member=$(cat member)
}

lead 'os.setpgid(0, 0)'
expect_exit 3 restore.sh image --detach
grep -q "pid $target: process id: is that of a session which process $member is still in" stderr || fail "$(cat stderr)"
kill -9 "$member"; all_gone "$member"

lead ''
expect_exit 3 restore.sh image --detach
grep -q "pid $target: process id: is that of a process group which process $member is still in" stderr || fail "$(cat stderr)"
kill -9 "$member"; all_gone "$member"

restore_detached image
[[ -e /proc/$target ]] || fail "it is not there"
kill -9 "$target"
