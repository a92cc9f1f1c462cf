# CPython with multiprocessing: a pool that computes behind queues, locks and shared memory, in the middle of its work.
cat > pool.py <<'SCRIPT'
import hashlib, multiprocessing, sys
from multiprocessing import shared_memory
def one(n):
    total = shared_memory.SharedMemory(n[0], track=False) if sys.version_info >= (3, 13) else shared_memory.SharedMemory(n[0])
    h = str(n[1]).encode()
    for _ in range(3000): h = hashlib.sha256(h).digest()
    with lock:
        total.buf[0:8] = (int.from_bytes(total.buf[0:8], "little") + n[1]).to_bytes(8, "little")
        counter.value += 1
    return n[1], h.hex()
def keep(l, c):
    global lock, counter
    lock, counter = l, c
if __name__ == "__main__":
    import os
    for method in "fork", "forkserver":
        context = multiprocessing.get_context(method)
        lock, counter = context.Lock(), context.Value("q", 0)
        # All see one /dev/shm, and what was killed leaves it there.
        name = "floe-%s-%s" % (os.path.basename(os.getcwd()), method)
        memory = shared_memory.SharedMemory(name, create=True, size=4096)
        with context.Pool(3, keep, (lock, counter)) as pool:
            done = 0
            for n, h in pool.imap_unordered(one, ((name, n) for n in range(600)), 4):
                want = str(n).encode()
                for _ in range(3000): want = hashlib.sha256(want).digest()
                assert want.hex() == h
                done += 1
                if done % 20 == 0: print(method, done, flush=True)
        assert done == counter.value == 600
        assert int.from_bytes(memory.buf[0:8], "little") == sum(range(600))
        memory.close(); memory.unlink()
    print("passed", flush=True)
SCRIPT
start log python3 pool.py
work_goes_on 'fork 60' 'forkserver 60'
