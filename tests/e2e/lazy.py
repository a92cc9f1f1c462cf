# A process that looks at its memory, and changes it, when it gets SIGUSR1: while the pager of a lazy restore still fills it, say.
import ctypes, hashlib, os, random, signal, sys, threading

SIZE = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 64 << 20
PART = 16 << 20
PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
for name in ("munmap", "madvise", "mprotect"):
    getattr(libc, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * (name != "munmap")
FIXED, ANON, NORESERVE = 0x10, 0x22, 0x4000
DONTNEED, DONTFORK = 4, 10


def new(size, at=None):
    # Apart from each other, so that none becomes one mapping with its neighbour.
    if at is None:
        at = libc.mmap(None, size + 2 * PAGE, 0, ANON | NORESERVE, -1, 0) + PAGE
    assert libc.mmap(at, size, 3, ANON | FIXED, -1, 0) == at
    return at


def view(at, size):
    return memoryview((ctypes.c_char * size).from_address(at)).cast("B")


def filled(size):
    at = new(size)
    view(at, size)[:] = os.urandom(size)
    return at


def digest(at, size):
    return hashlib.blake2b(view(at, size)).digest()


def done(result):
    assert result == 0, os.strerror(ctypes.get_errno())


def same(what, at, size, want):
    if digest(at, size) != want:
        problem(what)


def zero(what, at, size):
    if any(view(at, size)):
        problem(what)


def problem(what):
    print("FAILED", what, flush=True)
    os._exit(1)


main = filled(SIZE)
pieces = [(main + at, SIZE // 64) for at in range(0, SIZE, SIZE // 64)]
wanted = [digest(*piece) for piece in pieces]
moved, dropped, cut, shared, kept, written = [filled(PART) for _ in range(6)]
# Much that was never touched, with a page of content here and there.
sparse = new(PART)
spots = random.Random(1).sample(range(PART // PAGE), 300)
for spot in spots:
    view(sparse + spot * PAGE, 8)[:] = b"%8d" % spot
halves = {at: [digest(at + half * PART // 2, PART // 2) for half in (0, 1)] for at in (moved, dropped, cut, shared, kept, written)}


def look(order):
    for n in order:
        same(f"piece {n}", *pieces[n], wanted[n])


def move():
    # To a place where there is more room; the old one is gone.
    to = libc.mmap(None, 3 * PART, 0, ANON | NORESERVE, -1, 0)
    assert libc.mremap(moved, PART, 2 * PART, 3, to) == to
    assert libc.mprotect(moved, PAGE, 3) == -1
    # On again in two steps, the second half first.
    half = PART // 2
    other = libc.mmap(None, PART, 0, ANON | NORESERVE, -1, 0)
    assert libc.mremap(to + half, half, half, 3, other + half) == other + half
    assert libc.mremap(to, half, half, 3, other) == other
    for n in (1, 0):
        same("moved", other + n * half, half, halves[moved][n])
    zero("behind what was moved", to + PART, PART)


def drop():
    at, size = dropped + PART // 2, PART // 4
    done(libc.madvise(at, size, DONTNEED))
    zero("dropped", at, size)
    same("beside what was dropped", dropped, PART // 2, halves[dropped][0])
    view(at, size)[:] = b"\1" * size
    if bytes(view(at, size)) != b"\1" * size:
        problem("written where it was dropped")


def unmap():
    at, size = cut + PART // 2, PART // 4
    done(libc.munmap(at, size))
    new(size, at)
    zero("new", at, size)
    same("beside what was unmapped", cut, PART // 2, halves[cut][0])


def fork():
    done(libc.madvise(kept, PART, DONTFORK))
    children = []
    for depth in (0, 1, 2):
        pid = os.fork()
        if pid == 0:
            if depth == 1 and os.fork() == 0:
                same("of a grandchild", shared, PART // 2, halves[shared][0])
                os._exit(0)
            if depth == 2:
                os.execvp("true", ["true"])
            for n in (1, 0):
                same("of a child", shared + n * PART // 2, PART // 2, halves[shared][n])
            if depth == 1:
                assert os.wait()[1] == 0
            view(shared, PART)[:] = bytes(PART)
            os._exit(0)
        children.append(pid)
    for n in (0, 1):
        same("of the parent", shared + n * PART // 2, PART // 2, halves[shared][n])
        same("not for children", kept + n * PART // 2, PART // 2, halves[kept][n])
    for pid in children:
        if os.waitpid(pid, 0)[1] != 0:
            problem(f"child {pid}")


def kernel():
    # The kernel reads and writes what is missing; parts of it become another mapping before that.
    done(libc.mprotect(written + 3 * PAGE, PAGE, 1))
    done(libc.mprotect(written + 64 * PAGE, 5 * PAGE, 0))
    done(libc.mprotect(written + 64 * PAGE, 5 * PAGE, 3))
    file = os.open(".", os.O_TMPFILE | os.O_RDWR)
    assert os.pwrite(file, view(written, PART // 2), 0) == PART // 2
    same("read by the kernel", written, PART // 2, halves[written][0])
    assert os.preadv(file, [view(written + PART // 2, PART // 2)], 0) == PART // 2
    same("written by the kernel", written + PART // 2, PART // 2, halves[written][0])


def spread():
    for spot in range(PART // PAGE):
        want = b"%8d" % spot if spot in spots else bytes(8)
        if bytes(view(sparse + spot * PAGE, 8)) != want:
            problem(f"page {spot}")


steps = [move, drop, unmap, fork, kernel, spread]
asked = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: asked.set())
print("ready", flush=True)
asked.wait()
order = list(range(len(pieces)))
random.shuffle(order)
threads = [threading.Thread(target=look, args=(order[n::4],)) for n in range(4)]
for thread in threads:
    thread.start()
random.shuffle(steps)
for step in steps:
    step()
for thread in threads:
    thread.join()
look(order)
print("passed", flush=True)
