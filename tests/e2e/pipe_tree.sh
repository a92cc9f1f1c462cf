# Three levels of processes joined by pipes with data in flight: no byte is lost or doubled.
cat > tree.sh <<'SCRIPT'
(seq 1 200000 | (sed -u 's/$/ x/' | (while read -r n x; do echo "$n"; done))) > out
echo finished >> out
SCRIPT
start log bash tree.sh
until_true 10 test -s out
for round in 1 2 3; do
    checkpoint_kill "$pid" "image$round"
    restore_detached "image$round"
    grows out || grep -q finished out || fail "the tree stands still after round $round"
done
until_true 120 grep -q finished out
seq 1 200000 | cmp - <(head -n -1 out) || fail "bytes were lost or doubled"
