# With --timens, CLOCK_MONOTONIC and CLOCK_BOOTTIME go on where they were, whatever those of the machine say: behind a reboot they say
# less, on another machine more. What waits for a time of them waits for that time. Without it, what jumps back is told.
unshare --time true 2> /dev/null || { echo "SKIPPED this kernel has no time namespaces"; exit 0; }
cat > clocks.py <<'SCRIPT'
import ctypes, os, signal, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
def by_call(clock):
    now = Timespec()
    assert libc.syscall(228, clock, ctypes.byref(now)) == 0
    return now.s + now.ns / 1e9
def spec(at):
    return struct.pack("2q", int(at), int(at % 1 * 1e9))
def say(*words):
    with open("said", "a") as file:
        file.write(" ".join(map(str, words)) + "\n")
MONOTONIC, BOOTTIME = 1, 7
begin = {clock: time.clock_gettime(clock) for clock in (MONOTONIC, BOOTTIME)}
wait = float(sys.argv[1])
def done(name, clock=MONOTONIC):
    say(name, round(time.clock_gettime(clock) - begin[clock] - wait, 3))
def sleeper():
    assert libc.clock_nanosleep(MONOTONIC, 1, spec(begin[MONOTONIC] + wait), None) == 0
    done("nanosleep")
def waiter():
    # FUTEX_WAIT_BITSET: its time-out is a time of CLOCK_MONOTONIC.
    word = ctypes.c_int(0)
    libc.syscall(202, ctypes.byref(word), 9, 0, spec(begin[MONOTONIC] + wait), None, -1)
    done("futex")
def timerfd():
    fd = libc.timerfd_create(BOOTTIME, 0)
    assert libc.timerfd_settime(fd, 1, struct.pack("2q", 0, 0) + spec(begin[BOOTTIME] + wait), None) == 0
    os.read(fd, 8)
    done("timerfd", BOOTTIME)
def timer():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    made = ctypes.c_int()
    assert libc.syscall(222, MONOTONIC, struct.pack("Qii48x", 0, signal.SIGRTMIN, 0), ctypes.byref(made)) == 0
    assert libc.syscall(223, made, 1, struct.pack("2q", 0, 0) + spec(begin[MONOTONIC] + wait), None) == 0
    signal.sigwait({signal.SIGRTMIN})
    done("timer")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
for one in sleeper, waiter, timerfd, timer:
    threading.Thread(target=one).start()
say("ready")
last = {}
while not os.path.exists("go"):
    for clock in begin:
        # The vdso and the kernel say the same.
        three = by_call(clock), time.clock_gettime(clock), by_call(clock)
        assert sorted(three) == list(three), three
        step = three[0] - last.get(clock, three[0])
        if not 0 <= step < 2.5: say("JUMP", clock, step)
        last[clock] = three[2]
    # Relative, unlike the one of Python.
    libc.usleep(20000)
say("went")
SCRIPT
begins() { # WAIT COMMAND…
    rm -f go said
    start log "${@:2}" python3 clocks.py "$1"
    until_true 20 grep -q ready said || fail "$(cat log)"
    sleep 0.3
}
all_woke() { (($(grep -cE '^(nanosleep|futex|timerfd|timer) ' said) == 4)); }
passes() { # WHERE: all four have waited until their time, and nothing has jumped
    until_true 60 all_woke || fail "$1: $(cat said log)"
    touch go
    until_true 10 grep -q went said
    ! grep JUMP said || fail "$1"
    ! grep Error log || fail "$1: $(cat log)"
    # A machine under load wakes late, but never early.
    awk '/^(nanosleep|futex|timerfd|timer) / { if ($2 < -0.001 || $2 > 2) exit 1 }' said || fail "$1: $(cat said)"
    end_group "$pid"
}
# The clocks of a "machine" that was started later or earlier.
elsewhere() { unshare --time --fork --monotonic "$1" --boottime "$2" -- "${@:3}"; }

uptime=$(awk '{ print int($1) }' /proc/uptime)
for ahead in -$((uptime / 2)) 1000000; do
    begins 4
    checkpoint_kill "$pid" image
    # That nobody asked for it, and what it means.
    elsewhere "$ahead" "$ahead" bash -c '"$@" < image' - restore --detach 2> notes || fail "$(cat notes)"
    if ((ahead < 0)); then
        grep -Eq 'CLOCK_MONOTONIC is [0-9]+ seconds behind .*--timens' notes || fail "nothing is said: $(cat notes)"
    fi
    until_true 10 grep -q JUMP said || fail "the clocks were not those of the machine"
    end_group "$pid"
    rm said
    elsewhere "$ahead" "$ahead" bash -c '"$@" < image' - restore --detach --timens 2> notes || fail "$(cat notes)"
    ! grep CLOCK_MONOTONIC notes || fail "it jumps"
    passes "$ahead seconds ahead"
done

# Not asked for, of a tree that has clocks of its own, in two generations; the second is one of this machine's namespace.
begins 6 unshare --time --monotonic 5000000 --boottime 7000000 --fork --
inner=$(cat "/proc/$pid/task/$pid/children")
expect_exit 0 freeze --check "$((inner))"
end_group "$pid"
cat > own.py <<'SCRIPT'
# In a time namespace of its own from the start: a child of who asked for one.
import ctypes, os, sys
ctypes.CDLL(None).unshare(0x80)
open("/proc/self/timens_offsets", "w").write("monotonic 5000000 0\nboottime 7000000 0\n")
if os.fork(): os._exit(0)
os.setsid()
open("inner", "w").write(str(os.getpid()))
os.execvp("python3", ["python3", "clocks.py", sys.argv[1]])
SCRIPT
rm -f go said
setsid python3 own.py 6 < /dev/null > log 2>&1 &
until_true 20 grep -q ready said || fail "$(cat log)"
pid=$(cat inner)
checkpoint.sh "$pid" -o own --kill || fail "checkpoint: exit $?"
until_true 5 test ! -e "/proc/$pid"
restore_detached own
checkpoint.sh "$pid" -o again --kill || fail "second checkpoint: exit $?"
until_true 5 test ! -e "/proc/$pid"
elsewhere -50 1000 bash -c '"$@" < again' - restore --detach --new-pidns --pidfile outer || fail "restore: exit $?"
pid=$(cat outer)
passes "a namespace of its own"
