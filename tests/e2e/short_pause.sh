# freeze --then run lets the tree go on when copies of its processes have its memory: the image is that of one moment, the tree does not
# see the copies, and they are gone when any tool is.
cat > program.py <<'SCRIPT'
import ctypes, mmap, os, signal, struct, sys, time
MADV_DONTFORK, MADV_WIPEONFORK, WALL = 10, 18, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
def area(size, advice=None, shared=False):
    flags = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS
    held = mmap.mmap(-1, size, flags=flags)
    if advice is not None:
        held.madvise(advice)
    return held
CHILD = os.fork() == 0
# Private, shared, and what a child of fork(2) would not have.
areas = [area(24 << 20), area(2 << 20, shared=True), area(2 << 20, MADV_DONTFORK), area(2 << 20, MADV_WIPEONFORK)]
pages = [(held, at) for held in areas for at in range(0, len(held), 4096)]
one = struct.Struct("Q")
def no_children():
    # Of the parent one child, which runs.
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        assert len(file.read().split()) == (0 if CHILD else 1)
    try:
        assert os.waitpid(-1, os.WNOHANG | WALL) == (0, 0) and not CHILD
    except ChildProcessError:
        assert CHILD
rounds = 0
log = open("child" if CHILD else "parent", "a", buffering=1)
while True:
    # At each moment, all pages up to a place have one value, and the rest another.
    for held, at in pages:
        was, = one.unpack_from(held, at)
        assert was == rounds, (was, rounds, at, areas.index(held))
        one.pack_into(held, at, rounds + 1)
        # It would take 24 MiB of copies only where these are written to.
    rounds += 1
    no_children()
    print(rounds, file=log)
SCRIPT
both_grow() { grows parent && grows child; }
start out python3 program.py
until_true 20 test -s parent -a -s child
children=$(pgrep -P "$pid")

# Whatever freeze traces and is not of the tree.
copies() { # FREEZE
    local file
    for file in /proc/[0-9]*/status; do
        if grep -qsx "TracerPid:	$1" "$file"; then
            file=${file#/proc/}
            case " $pid $children " in *" ${file%/status} "*) ;; *) echo "${file%/status}" ;; esac
        fi
    done
}

for round in {1..6}; do
    checkpoint.sh "$pid" -o image --leave-running 2> stderr || fail "checkpoint $round: $(cat stderr)"
    [[ ! -s stderr ]] || fail "$(cat stderr)"
    both_grow || fail "round $round: $(cat out)"
    cp image "image.$round"
done
checkpoint.sh "$pid" -o image.long --pause long --leave-running || fail "long pause"

# While the image is written the tree runs, and its copies are there. One tool after the other is killed.
mkfifo slow
for victim in freeze dumpmem imgpack copy; do
    freeze "$pid" -- bash -o pipefail -c 'dumpmnt | dumpfs | aufsfix | dumpmem | { exec 9< slow; read -u 9 line; cat > taken; }' 2> stderr & f=$!
    until_true 10 eval '[[ -n $(copies $f) ]]' || fail "$victim: no copies: $(cat stderr)"
    until_true 10 both_grow || fail "the tree does not run while the image is written"
    [[ $(copies "$f" | wc -l) == 2 ]] || fail "copies: $(copies "$f")"
    all=$(copies "$f")
    for copy in $all; do
        [[ -z $(ls "/proc/$copy/fd") ]] || fail "a copy has descriptors"
    done
    case $victim in
        freeze) kill -9 "$f" ;;
        dumpmem) pkill -9 -x dumpmem ;;
        imgpack) : ;;
        copy) kill -9 $(head -n 1 <<< "$all") ;;
    esac
    # What reads the stream goes on, or ends.
    timeout 5 bash -c 'echo go > slow' || true
    status=0
    wait "$f" 2> /dev/null || status=$?
    case $victim in
        imgpack) [[ $status == 0 ]] || fail "exit $status: $(cat stderr)" ;;
        *) [[ $status != 0 ]] || fail "$victim was killed, and freeze says nothing" ;;
    esac
    for copy in $all; do until_true 5 eval '! kill -0 $copy 2> /dev/null || ! is_reaped $copy' || fail "$victim: copy $copy is left"; done
    both_grow || fail "$victim: $(cat out)"
done

# What is restored goes on with the memory of one moment.
kill -9 "$pid" $children
wait "$pid" 2> /dev/null || true
all_gone "$pid" $children
for image in image.1 image.6 image.long; do
    restore_detached "$image" --on-change accept || fail "$image"
    both_grow || fail "$image: $(cat out)"
    sleep 1
    both_grow || fail "$image: $(cat out)"
    kill -9 "$pid" $children
    all_gone "$pid" $children
done
! grep -q Error out || fail "$(cat out)"

# Where a process of the tree would see copies, the tree stands until all has been read, and dumpmem says why.
start out2 python3 -c '
import ctypes, os, time
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
held = os.urandom(16 << 20)
print("ready", flush=True)
while True: time.sleep(0.01)'
until_true 10 grep -q ready out2
checkpoint.sh "$pid" -o image 2> stderr --leave-running || fail "$(cat stderr)"
has_line 'stands still until.*takes orphans in' < stderr || fail "$(cat stderr)"
kill -9 "$pid"
