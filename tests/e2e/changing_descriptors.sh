# Descriptors of kernel objects that nothing but kcmp(2) tells apart change all the time: which of them are shared is right in each
# of many checkpoints.
cat > program.py << 'SCRIPT'
import ctypes, os, random, sys, time
libc = ctypes.CDLL(None, use_errno=True)
class Spec(ctypes.Structure): _fields_ = [(name, ctypes.c_long) for name in ("is", "ins", "vs", "vns")]
def timer(): return libc.timerfd_create(time.CLOCK_MONOTONIC, 0)
def arm(fd, seconds): assert libc.timerfd_settime(fd, 0, ctypes.byref(Spec(0, 0, seconds, 0)), None) == 0
def left(fd):
    spec = Spec()
    assert libc.timerfd_gettime(fd, ctypes.byref(spec)) == 0
    return round(spec.vs, -6)  # armed in millions of seconds
# Each pair of numbers has one timer, armed to a time of its own.
pairs = [(100 + 2 * n, 101 + 2 * n) for n in range(60)]
times, n = {}, 0
def make(pair):
    global n
    n += 1
    times[pair] = n % 1000 * 1_000_000 + 1_000_000
    fd = timer()
    first, second = random.sample(pair, 2)
    os.dup2(fd, first); os.dup2(fd, second); os.close(fd)
    arm(second, times[pair])
for pair in pairs: make(pair)
while True:
    for _ in range(200):
        random.shuffle(pairs)
        make(pairs[0])
        # Two pairs exchange their timers.
        (a, b), (c, d) = pairs[1:3]
        fd = os.dup(a); os.dup2(c, a); os.dup2(c, b); os.dup2(fd, c); os.dup2(fd, d); os.close(fd)
        times[pairs[1]], times[pairs[2]] = times[pairs[2]], times[pairs[1]]
    for pair in pairs:
        # Armed anew by one of both numbers, the other one shows it, and no other timer has changed.
        arm(pair[0], times[pair])
        assert left(pair[1]) == times[pair], (pair, left(pair[1]), times[pair])
    print("right", flush=True)
SCRIPT
start out python3 program.py
until_true 10 grep -q right out
for round in {1..40}; do
    checkpoint.sh "$pid" -o image --leave-running || fail "checkpoint $round: exit $?"
done
for round in {1..4}; do
    checkpoint_kill "$pid" image
    restore_detached image
    grows out || fail "round $round: $(tail -n 3 out)"
done
kill -9 "$pid"
! grep -q Error out || fail "$(tail out)"
