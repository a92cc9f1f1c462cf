# python3 with four threads: one sleeps, one computes a hash chain that goes on without a break.
cat > chain.py <<'SCRIPT'
import hashlib, sys, threading, time, queue
def chain():
    h, n = b"floe", 0
    while True:
        for _ in range(2000):
            h = hashlib.sha256(h).digest(); n += 1
        print(n, h.hex(), flush=True)
def sleeper():
    while True:
        t = time.monotonic(); time.sleep(0.5)
        assert time.monotonic() - t >= 0.5
def waiter(q):
    while True: q.get()
q = queue.Queue()
for f, a in ((chain, ()), (sleeper, ()), (waiter, (q,))):
    threading.Thread(target=f, args=a, daemon=True).start()
while True:
    q.put(1); time.sleep(0.05)
SCRIPT
start log python3 chain.py
until_true 20 grep -q . log
for round in 1 2; do
    checkpoint_kill "$pid" "image$round"
    threads=$(imgpack --json "image$round" | grep -c '"name":"Thread"') || true
    [[ $threads == 4 ]] || fail "the image has $threads threads"
    restore_detached "image$round"
    grows log || { cat log | tail -3; fail "the chain stands still"; }
    [[ $(ls "/proc/$pid/task" | wc -l) == 4 ]] || fail "not four threads"
done
kill -9 "$pid"
python3 - <<'SCRIPT' || fail "the chain broke"
import hashlib
h, n = b"floe", 0
lines = open("log").read().split("\n")[:-1]
for line in lines:
    want, hexed = line.split()
    while n < int(want):
        h = hashlib.sha256(h).digest(); n += 1
    assert h.hex() == hexed, line
SCRIPT
