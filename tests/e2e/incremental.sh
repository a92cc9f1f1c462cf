# Images of what has changed: a chain of them is one image, and says of no page what it is not. What would miss a page is refused.
cat > target.py <<'SCRIPT'
import ctypes, hashlib, mmap, os, random, sys, time
PAGE, MIB = 4096, 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
class Memory:
    """Private memory that is written to at random, and what it should be."""
    def __init__(self, size, huge=False):
        self.map = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.want = bytearray(size)
        if huge: libc.madvise(ctypes.c_void_p(self.address), ctypes.c_size_t(size), 14)  # MADV_HUGEPAGE
        self.write(0, os.urandom(size))
    def write(self, at, what):
        self.map[at:at + len(what)] = what
        self.want[at:at + len(what)] = what
    def drop(self, at, size):
        assert libc.madvise(ctypes.c_void_p(self.address + at), ctypes.c_size_t(size), 4) == 0
        self.want[at:at + size] = bytes(size)
    def right(self): return bytes(self.map) == bytes(self.want)
memories = [Memory(16 * MIB), Memory(MIB), Memory(8 * MIB, True)]
step = 0
def say(what):
    # Nothing stays open, so that nothing has changed at a restore.
    with open("log", "a") as log: log.write(f"{os.getpid()} {what}\n")
def check(): say(f"right {step}" if all(m.right() for m in memories) else f"WRONG {step}")
say("ready")
child = 0
seen = None
while True:
    # It is opened only when it is new: an image that has it open would find another file in its place.
    try: now = (lambda it: (it.st_mtime_ns, it.st_ino))(os.stat("word"))
    except OSError: now = None
    if now == seen:
        time.sleep(0.01)
        continue
    seen = now
    with open("word") as f: word = f.read().split()
    if len(word) != 2 or int(word[0]) <= step:
        time.sleep(0.01)
        continue
    step, what = int(word[0]), word[1]
    if child == 0 and what == "fork":
        r, w = os.pipe()
        child = os.fork()
        if child == 0: child = -1
    if what == "write":
        for m in memories:
            for _ in range(20): m.write(random.randrange(len(m.want) // PAGE) * PAGE, os.urandom(PAGE))
    if what == "drop": memories[0].drop(64 * PAGE, 64 * PAGE)
    if what == "zero": memories[0].write(300 * PAGE, bytes(8 * PAGE))
    if what == "kernel":
        with open("/dev/urandom", "rb", buffering=0) as f: got = f.read(PAGE)
        f = os.open("blob", os.O_RDWR | os.O_CREAT, 0o600); os.pwrite(f, got, 0)
        os.preadv(f, [memoryview(memories[0].map)[900 * PAGE:901 * PAGE]], 0)
        memories[0].want[900 * PAGE:901 * PAGE] = got
        os.close(f)
    if what == "new": memories.append(Memory(MIB)); memories.pop(1)
    if what == "move":
        m = memories[0]
        libc.mremap.restype = ctypes.c_void_p
        to = libc.mremap(ctypes.c_void_p(m.address + 2000 * PAGE), ctypes.c_size_t(16 * PAGE), ctypes.c_size_t(16 * PAGE),
                         1 | 2, ctypes.c_void_p(m.address + 3000 * PAGE))
        assert to == m.address + 3000 * PAGE, ctypes.get_errno()
        again = libc.mmap
        again.restype = ctypes.c_void_p
        assert again(ctypes.c_void_p(m.address + 2000 * PAGE), ctypes.c_size_t(16 * PAGE), 3, 0x32, -1, ctypes.c_long(0))
        m.want[3000 * PAGE:3016 * PAGE] = m.want[2000 * PAGE:2016 * PAGE]
        m.want[2000 * PAGE:2016 * PAGE] = bytes(16 * PAGE)
    check()
SCRIPT
size() { stat -c %s "$1"; }
number=0
does() { # WORDS…: the program does these one after the other
    local what
    for what; do
        number=$((number + 1))
        echo "$number $what" > word.new && mv word.new word
        until_true 20 grep -q "^$pid [A-Za-z]* $number\$" log
    done
    ! grep WRONG log || fail "the program itself sees it"
}
right() { # IMAGE: it is restored, and goes on
    end_group "$pid"
    imgpack --verify "$1"
    restore_detached "$1"
    does write
    end_group "$pid"
}
partial() { # SINCE IMAGE
    freeze --since "$1" "$pid" | dumpmnt | dumpfs | aufsfix | dumpmem | imgpack -o "$2"
}
keepers() { pgrep -x floe-keeper || true; }
start out python3 target.py
until_true 20 grep -qs ready log
descriptors=$(ls "/proc/$pid/fd")
checkpoint.sh "$pid" -o base --track || fail "base: $?"
[[ $(keepers | wc -l) == 1 ]] || fail "keepers: $(keepers)"
[[ $(ls "/proc/$pid/fd") == "$descriptors" ]] || fail "it has other descriptors"
does write
partial base one
(($(size one) * 3 < $(size base))) || fail "$(ls -l base one)"
does drop kernel
partial one two
does zero new move
partial two three
imgpack --list three | has_line 'Parent ' || fail "$(imgpack --list three)"
# An ordinary image of a tree that is watched says nothing of it, and does not end it.
checkpoint.sh "$pid" -o ordinary || fail "ordinary: $?"
does write write
partial three four

# A part alone is no tree; what is no chain is refused by name, and says which image does not belong there.
expect_exit 3 restore --detach < one
grep -q 'imgpack --merge' stderr || fail "$(cat stderr)"
for chain in "base two" "one two" "base one three" "base base" "ordinary one" "base one one"; do
    # shellcheck disable=SC2086
    expect_exit 3 imgpack -o wrong --merge $chain
done
[[ ! -e wrong ]] || fail "a broken chain leaves an image"
expect_exit 3 freeze --since two "$pid"
expect_exit 3 freeze --since ordinary "$pid"
grep -q 'without --track' stderr || fail "$(cat stderr)"
imgpack -o whole --merge base one two three four
imgpack -o packed --compress zstd --merge base one two three four
imgpack --merge base one two > early
imgpack -o late --merge early three four
cmp whole late || fail "a chain in two steps is another one"
right whole
right packed
imgpack --merge base one two three four | restore --detach || fail "from a pipe: $?"
does write
# The restored tree is another one: nothing has kept track of it.
expect_exit 3 freeze --since four "$pid"
grep -q 'nothing has kept track' stderr || fail "$(cat stderr)"
until_true 10 test -z "$(keepers)"

# A child is not watched before the next image: all of it counts as changed.
checkpoint.sh "$pid" -o base --track || fail "base: $?"
does fork write
partial base one
does write
partial one two
imgpack -o whole --merge base one two
right whole

# Tracking ends with its keeper, and is not taken for unbroken then.
restore_detached whole
does write
checkpoint.sh "$pid" -o base --track || fail "base: $?"
kill -9 "$(keepers)"
does write
expect_exit 3 freeze --since base "$pid"
does write
checkpoint.sh "$pid" -o base --track || fail "base: $?"
# A round that fails is none: what it has seen changed is lost with it.
! freeze --since base "$pid" -- false || fail "false succeeds"
expect_exit 3 freeze --since base "$pid"
end_group "$pid"
until_true 10 test -z "$(keepers)"

# What writes past the page table.
cat > aio.py <<'SCRIPT'
import ctypes, signal
context = ctypes.c_ulong()
assert ctypes.CDLL(None).syscall(206, 8, ctypes.byref(context)) == 0  # io_setup
print("ready", flush=True)
signal.pause()
SCRIPT
start ready python3 aio.py
until_true 20 grep -q ready ready
expect_exit 3 freeze --track "$pid"
grep -q 'asynchronous I/O: it writes to memory in a way' stderr || fail "$(cat stderr)"
end_group "$pid"
