# A container of runc by dumps that build on one another: two in advance, and the last one; and what runc gets where it cannot be so.
. "$dir/containers.sh"
if ! criu check --feature mem_dirty_track; then echo 'SKIPPED the kernel does not tell what was written (before Linux 6.7)'; exit 0; fi
bundle sh -c 'big=$(busybox head -c 6000000 /dev/urandom | busybox base64); n=0
    while read -r line; do n=$((n + 1)); [ "$line" != sum ] || echo "sum $(echo "$big" | busybox md5sum) $n"; echo "n $n"; echo "got $line"; done' < /dev/null
start_box
sum() { # what it says of its memory
    local before
    before=$(grep -c ^sum out)
    echo sum >&3
    until_true 10 eval '(($(grep -c ^sum out) > before))'
    grep ^sum out | tail -n 1 | cut -d ' ' -f 2
}
count() { grep '^n ' out | tail -n 1 | cut -d ' ' -f 2; }
runs || fail "it does not answer: $(cat out)"
content=$(sum)
pre_dump() { # DIRECTORY OPTIONS…
    mkdir -p "$1"
    box checkpoint --pre-dump --image-path "$PWD/$1" --work-path "$PWD/work" "${@:2}" "$id" > checkpoint.out 2>&1 ||
        fail "pre-dump $1: $(cat checkpoint.out work/dump.log)"
    runs || fail "it stands still behind the dump $1"
    [[ $(status_of_box) == running ]] || fail "$(status_of_box)"
}
bytes() { stat -c %s "$1/floe.img"; }
pre_dump first
pre_dump second --parent-path ../first
checkpoint_box --parent-path ../second
[[ -s images/parent/parent/floe.img && -s images/inventory.img ]] || fail "$(ls -lR images first second)"
for part in second images; do
    (($(bytes "$part") * 5 < $(bytes first))) || fail "$part has $(bytes "$part") bytes, the first one $(bytes first)"
done
last=$(count)
restore_box
runs || fail "it does not answer: $(cat work/restore.log)"
[[ $(sum) == "$content" ]] || fail 'its memory is another'
(($(count) > last)) || fail 'it has not gone on'
delete_box

# One that does not continue what is named, and one whose parent is gone, are whole.
rm out images/*
start_box
runs || fail "it does not answer: $(cat out)"
content=$(sum)
mkdir missing
for parent in ../second ../missing; do
    checkpoint_box --parent-path "$parent"
    grep -q 'all of the memory is written' work/dump.log || fail "$(cat work/dump.log)"
    (($(bytes images) > 6000000)) || fail "the image has $(bytes images) bytes"
    restore_box
    runs || fail "it does not answer: $(cat work/restore.log)"
    [[ $(sum) == "$content" ]] || fail "its memory is another behind $parent"
done

# A chain that lacks an image is refused, and nothing is left of it.
rm -r first second images/*
pre_dump first
checkpoint_box --parent-path ../first
mv first/floe.img away
if box restore -d --bundle "$PWD/bundle" --image-path "$PWD/images" --work-path "$PWD/work" "$id" < /dev/null > said 2>&1 3>&- 251>&-; then fail 'half a tree was restored'; fi
grep -q 'parent/floe.img' work/restore.log || fail "$(cat work/restore.log)"
[[ $(status_of_box) == '' ]] || fail "$(status_of_box)"
mv away first/floe.img
restore_box
runs || fail "it does not answer: $(cat work/restore.log)"
[[ $(sum) == "$content" ]] || fail 'its memory is another'
delete_box
