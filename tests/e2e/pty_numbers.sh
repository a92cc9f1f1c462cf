# covers: Pty
# Pseudo terminals whose index is taken when they come back, of two instances of devpts, and in a pipeline that is killed.
mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
mkdir other && mount -t devpts -o newinstance,ptmxmode=0666 none other
cat > hold.py <<'SCRIPT'
import os, pty, select, signal, sys, tty
def pair(path):
    import fcntl
    master = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(master, 0x40045431, bytes(4))
    slave = fcntl.ioctl(master, 0x5441, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(slave)
    return master, slave
pairs = [pair(path) for path in sys.argv[1:]]
typed, written = os.urandom(4000), os.urandom(2000)
for master, slave in pairs:
    os.write(master, typed), os.write(slave, written)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("ready", *(os.ttyname(slave) for _, slave in pairs), flush=True)
signal.sigwait({signal.SIGUSR1})
for master, slave in pairs:
    for fd, want in (slave, typed), (master, written):
        got = b""
        while len(got) < len(want):
            assert select.select([fd], [], [], 10)[0], (len(got), len(want))
            got += os.read(fd, 5000)
        assert got == want
print("passed", *(os.ttyname(slave) for _, slave in pairs), flush=True)
SCRIPT
passes() { # NAMES…
    kill -USR1 "$pid"
    until_true 10 grep -Eq 'passed|Error' log
    grep -q "^passed $*\$" log || fail "$(cat log)"
}

# The same index in each of two instances.
start log python3 hold.py /dev/pts/ptmx "$PWD/other/ptmx"
until_true 10 grep -Eq 'ready|Error' log
checkpoint_kill "$pid" image
restore_detached image
passes /dev/pts/0 "$PWD/other/0"

# Taken by another program: it comes back with the next one, and is told so.
start log python3 hold.py /dev/ptmx
until_true 10 grep -q "ready /dev/pts/0" log
checkpoint_kill "$pid" image
exec 9<> /dev/ptmx
restore.sh image --detach 2> stderr || fail "$(cat stderr)"
grep -q "pts/0 is taken, and is pts/1 now" stderr || fail "$(cat stderr)"
exec 9>&-
passes /dev/pts/1

# But not where a process knows the name.
start log env SSH_TTY=/dev/pts/0 python3 hold.py /dev/ptmx
until_true 10 grep -q "ready /dev/pts/0" log
checkpoint_kill "$pid" image
exec 9<> /dev/ptmx
expect_exit 3 restore.sh image --detach
grep -q "its index is taken.*fuser /dev/pts/0" stderr || fail "$(cat stderr)"
(($(wc -l < stderr) == 1)) || fail "more is said: $(cat stderr)"
exec 9>&-
restore_detached image
passes /dev/pts/0

# A pipeline that is killed at any moment leaves all that is queued.
start log python3 hold.py /dev/ptmx
until_true 10 grep -q ready log
for round in {1..40}; do
    setsid sh -c "freeze $pid | dumpfs > out" < /dev/null 2> /dev/null &
    group=$!
    sleep "0.0$((RANDOM % 6))$((RANDOM % 10))"
    kill -9 -- "-$group" 2> /dev/null || true
    wait "$group" 2> /dev/null || true
done
sleep 0.2
passes /dev/pts/0
