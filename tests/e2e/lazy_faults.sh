# restore --lazy, and what dies on the way: nobody goes on with memory that is not there, nothing hangs, and nothing is left.
# It waits for moments that a busy machine can miss.
[[ -n ${FLOE_ALL_FAULTS-} ]] || { echo 'SKIPPED the faults of lazy restore need a quiet machine (scripts/test.sh --all)'; exit 0; }
pagers() { pgrep '^floe-[pk]' || true; }
none_left() { until_true 10 eval '[[ -z $(pagers) ]]' || fail "$(ps -e)"; }
cat > holder.py <<'P'
import hashlib, os, signal, time
data = os.urandom(64 << 20)
part = len(data) // 64
want = [hashlib.blake2b(data[n * part:(n + 1) * part]).digest() for n in range(64)]
def look(*pieces):
    for n in pieces:
        if hashlib.blake2b(memoryview(data)[n * part:(n + 1) * part]).digest() != want[n]:
            print("DIFFERS", n, flush=True)
def fork(*_):
    if os.fork() == 0:
        print("child", os.getpid(), flush=True)
        while not os.path.exists("touch"): time.sleep(0.02)
        look(*range(64))
        print("alive", flush=True)
signal.signal(signal.SIGUSR1, lambda *_: (look(*range(8)), print("looked", flush=True)))
signal.signal(signal.SIGUSR2, lambda *_: (look(*range(64)), print("passed", flush=True)))
signal.signal(signal.SIGHUP, fork)
print("ready", flush=True)
while True: time.sleep(1000)
P
start log python3 holder.py
until_true 30 grep -q ready log
checkpoint_kill "$pid" image
# While the touched set is recorded, nothing else is filled for a second.
hold() { restore_detached image --on-change accept --lazy --record-working-set set "$@" 2> said; : > log; }

# The pager is killed: so is who has it fill memory, by the keeper, which says so.
for waits in yes no; do
    hold
    if [[ $waits == yes ]]; then
        kill -STOP $(pgrep -x floe-pager)
        kill -USR2 "$pid"
        sleep 0.2
    fi
    kill -9 $(pgrep -x floe-pager)
    all_gone "$pid"
    until_true 5 grep -q 'the pager was killed by SIGKILL before all memory was in place: killed pid' said
    none_left
    [[ ! -s log ]] || fail "it went on: $(cat log)"
done

# A child that was forked meanwhile ends when it touches what is missing.
hold
kill -HUP "$pid"
until_true 5 grep -q child log
child=$(tr -d '\0' < log | awk '/^child/ { print $2 }')
kill -9 $(pgrep -x floe-pager)
all_gone "$pid"
[[ -e /proc/$child ]] || fail "the child has ended before it had to"
touch touch
all_gone "$child"
rm touch
none_left
grep -Eq 'alive|DIFFERS' log && fail "it went on: $(cat log)"

# The keeper is killed: the pager does its work to the end.
hold
kill -9 $(pgrep -x floe-keeper)
kill -USR2 "$pid"
until_true 20 grep -q passed log
none_left
kill -9 "$pid"
all_gone "$pid"

# An image that is damaged where nobody has looked yet.
cp image damaged
size=$(stat -c %s image)
printf 'floe floe floe' | dd of=damaged bs=1 seek=$((size / 2)) conv=notrunc status=none
restore_detached damaged --on-change accept --lazy 2> said
all_gone "$pid"
until_true 5 grep -q 'the checksum of bulk does not match' said
none_left
# One that is cut short behind our back.
cp image short
restore_detached short --on-change accept --lazy --record-working-set set 2> said
truncate -s $((size / 3)) short
kill -USR2 "$pid"
all_gone "$pid"
until_true 5 grep -q 'killed pid' said
none_left

# What was touched is filled first when that is wished, so it is waited for no more.
hold
kill -USR1 "$pid"
until_true 20 grep -q looked log
until_true 20 eval '[[ $(head -n 1 set) == "floe working set 1" ]]'
none_left
(($(wc -l < set) > 8)) || fail "$(cat set)"
(($(wc -l < set) < 200)) || fail "all is in the working set"
kill -9 "$pid"
all_gone "$pid"
restore_detached image --on-change accept --lazy --working-set set --record-working-set second 2> said
sleep 0.5
: > log
kill -USR1 "$pid"
until_true 20 grep -q looked log
none_left
(($(wc -l < second) < $(wc -l < set) / 2)) || fail "it is waited for once more: $(cat second)"
kill -USR2 "$pid"
until_true 20 grep -q passed log
kill -9 "$pid"
all_gone "$pid"
echo nonsense > set
expect_exit 1 restore --detach --lazy --working-set set < image
has_line 'is no working set' < stderr
expect_exit 2 restore --detach --working-set set < image

# restore is killed, or fails, at calls that belong to it: nothing is left, and it can be repeated.
hits=0
for fault in signal=SIGKILL error=EIO; do
    for call in pidfd_getfd ioctl clone3 ptrace; do
        for n in 1 2 3 5 9 20 60 150; do
            if strace -q -o trace -e trace="$call" -e inject="$call":"$fault":when="$n" restore --detach --lazy --on-change accept < image 2> said; then
                kill -9 "$pid" || true
            fi
            grep -Eq 'INJECTED|killed by' trace && ((++hits))
            (all_gone "$pid") || fail "the process is left after $fault at $call $n: $(cat said)"
            none_left
        done
    done
done
((hits > 20)) || fail "only $hits calls were hit"
restore_detached image --lazy --on-change accept
: > log
kill -USR2 "$pid"
until_true 20 grep -q passed log
kill -9 "$pid"
none_left
