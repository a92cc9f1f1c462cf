# An image that was cut or changed within its pages: exit code 4, and no process is left behind.
start log bash -c 'while sleep 0.05; do echo $((++n)); done'
until_true 10 grep -q '^3$' log
checkpoint_kill "$pid" image
imgpack -o image.zstd --compress zstd < image
imgpack -o image.lz4 --compress lz4 < image
for which in image image.zstd image.lz4; do
    size=$(stat -c %s "$which") step=1
    [[ $which == image ]] || step=3
    for ((tenth = 1; tenth < 10; tenth += step)); do
        at=$((size * tenth / 10))
        head -c "$at" "$which" > cut
        expect_exit 4 restore --detach < cut
        cp "$which" changed
        byte=$(od -An -tu1 -j "$at" -N 1 "$which")
        # shellcheck disable=SC2059
        printf "\\x$(printf %02x $((byte ^ 16)))" | dd of=changed bs=1 seek="$at" conv=notrunc status=none
        expect_exit 4 restore --detach < changed
        expect_exit 4 bash -c 'cat changed | restore --detach'
        [[ ! -e /proc/$pid ]] || fail "a process is left behind"
    done
done
# A place for pages that is another one: its checksum comes only behind the pages. Records of pages lie before the pages
# and once more in the index.
python3 - << 'SCRIPT'
import re
image = open("image", "rb").read()
index_at = int.from_bytes(image[-50:-42], "big")
places = [m.end() for m in re.finditer(rb"franges(?:[\x81-\x97]|\x98.|\x99..)\x82\x1b", image, re.S)]
before, behind = [at for at in places if at < index_at], [at for at in places if at > index_at]
assert before and len(before) == len(behind), (before, behind)
for where, places in (("record", before), ("index", behind)):
    for number, at in enumerate(places[:3] + places[-3:]):
        # A page further on, far away, beyond all.
        for what, byte, bit in (("near", 6, 16), ("far", 3, 1), ("beyond", 0, 128)):
            with open(f"moved.{where}.{number}.{what}", "wb") as moved:
                moved.write(image[:at + byte] + bytes([image[at + byte] ^ bit]) + image[at + byte + 1:])
# The end: where the index is, its digest, End.
for at in (-1, -20, -34, -40, -45, -57):
    with open(f"moved.end.{at}", "wb") as moved:
        moved.write(image[:at] + bytes([image[at] ^ 4]) + image[at:][1:])
SCRIPT
for moved in moved.*; do
    expect_exit 4 restore --detach < "$moved"
    expect_exit 4 bash -c 'cat "$0" | restore --detach' "$moved"
done
# A damaged index is told before anything is made.
for moved in moved.index.*; do
    strace -q -o trace -e trace=ptrace restore --detach < "$moved" 2> stderr && fail "$moved restores"
    if grep -q '^ptrace' trace; then fail "$moved: a process was made"; fi
done
[[ ! -e /proc/$pid ]] || fail "a process is left behind"
restore_detached image
grows log || fail "stands still"
