# Compressed images: smaller, and restored from a file, from a pipe and as a plain stream; by hand and by checkpoint.sh.
cat > target.py <<'SCRIPT'
import hashlib, mmap, os, signal, sys, time
words = b"".join(b"line %d of what is much like the line before it\n" % n for n in range(1 << 15))
memory = bytearray(words + os.urandom(3 << 20) + bytes(1 << 20) + words)
shared = mmap.mmap(-1, 2 << 20)
shared[:] = memory[1 << 20:3 << 20]
def state(): return hashlib.sha256(memory).hexdigest() + hashlib.sha256(shared).hexdigest()
def say(what):
    # Nothing stays open, so that nothing has changed at a restore.
    with open("log", "a") as log: log.write(what + "\n")
before = state()
child = os.fork()
while True:
    time.sleep(0.05)
    if state() != before: say("DIFFERS")
    if not child: say("child is well")
SCRIPT
start out python3 target.py
until_true 20 grep -qs well log
freeze "$pid" | dumpmnt | dumpfs | aufsfix | dumpmem | imgpack -o plain
size() { stat -c %s "$1"; }
for how in zstd zstd:5 lz4 none; do
    imgpack -o "image.$how" --compress "$how" < plain
    imgpack --verify "image.$how"
    imgpack --unpack "image.$how" | cmp - <(imgpack --unpack plain) || fail "$how: another stream"
    imgpack --compress none < "image.$how" | cmp - plain || fail "$how: another image"
    imgpack < "image.$how" | cmp - "image.$how" || fail "$how: it does not stay as it is"
    # What is shown is what is in it.
    shown() { imgpack --json "$1" | grep -v '"bulk"' | sed 's/"offset":[0-9]*//'; }
    cmp <(shown "image.$how") <(shown plain) || fail "$how: it shows something else"
done
cmp image.none plain || fail "none compresses"
imgpack --list image.zstd | has_line 'bulk .* zstd of ' || fail "$(imgpack --list image.zstd)"
imgpack --json image.lz4 | has_line '"codec":"lz4","content":' || fail "$(imgpack --json image.lz4)"
(($(size image.zstd) * 2 < $(size plain) && $(size image.lz4) * 2 < $(size plain))) || fail "$(ls -l)"

# Noise stays as it is, where it lies at page boundaries.
imgpack --list image.zstd | grep bulk | has_line -v zstd || fail "noise is compressed"
for wrong in gzip zstd:0 zstd:23 lz4:1 ""; do expect_exit 2 imgpack -o wrong --compress "$wrong" < plain; done
expect_exit 2 imgpack --verify --compress zstd plain

grows log || fail "the target did not go on"
checkpoint.sh "$pid" -o image --compress=zstd --kill || fail "checkpoint: exit $?"
wait "$pid" || true
imgpack --list image | has_line 'zstd of ' || fail "checkpoint.sh does not compress"
well() { # WHAT
    grows log || fail "$1: it stands still"
    ! grep -q DIFFERS log || fail "$1: its memory differs"
    end_group "$pid"
}
restore_detached image
well "by the index"
cat image | restore --detach
well "from a pipe"
imgpack --compress lz4 < image | restore --detach
well "on the way"
imgpack --unpack image | restore --detach
well "as a stream"
