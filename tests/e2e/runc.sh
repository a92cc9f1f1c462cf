# A container of runc with pipes: to an image and back, twice, left running, and with what runc does to it in between.
. "$dir/containers.sh"
bundle sh -c 'n=0; while read -r line; do n=$((n + 1)); echo "got $line"; echo "$n" > /dev/shm/count; done' << 'SCRIPT'
config["hostname"] = "boxy"
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
# Somebody else in its namespaces, who is not of its tree, and dies with them.
box exec "$id" sleep 1000 < /dev/null > exec.out 2>&1 3>&- 251>&- &
until_true 10 eval 'box exec "$id" ps | has_line "sleep 1000"'
checkpoint_box --leave-running
grep -q '"--empty" "net"' work/dump.log || fail "$(cat work/dump.log)"
box exec "$id" ps | has_line 'sleep 1000' || fail 'what was not of the tree is gone'
runs || fail 'it was left running, and stands still'
[[ $(status_of_box) == running ]] || fail "$(status_of_box)"
# What there is not, runc is told before it tries.
if box checkpoint --lazy-pages --image-path "$PWD/images" --work-path "$PWD/work" "$id" > said 2>&1; then fail "--lazy-pages has worked"; fi
grep -Eqi 'feature|lazy|status' said || fail "--lazy-pages: $(cat said)"
runs || fail "--lazy-pages was refused, and it stands still"
for round in 1 2; do
    count=$(nsenter -t "$pid" -m -p cat /dev/shm/count)
    checkpoint_box
    until_true 5 test ! -e "/proc/$pid" || fail 'it is still there'
    [[ $(status_of_box) == '' ]] || fail "runc still has it: $(status_of_box)"
    restore_box
    [[ $(status_of_box) == running ]] || fail "$(status_of_box)"
    runs || fail "it stands still in round $round: $(cat work/restore.log)"
    [[ $(box exec "$id" cat /dev/shm/count) -gt $count ]] || fail 'it has not gone on'
    [[ $(box exec "$id" hostname) == boxy ]] || fail 'it has lost its name'
    box exec "$id" ps | has_line -E '^ *1 .*sh -c' || fail "$(box exec "$id" ps)"
done
delete_box
