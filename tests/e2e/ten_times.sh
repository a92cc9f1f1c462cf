# Ten checkpoints and restores in a row, each from the restored program.
cat > counter.sh <<'SCRIPT'
while sleep 0.02; do echo tick; done | while read -r _; do echo "$((++n))"; done
SCRIPT
start log bash counter.sh
until_true 10 grep -q '^3$' log
for round in {1..10}; do
    checkpoint_kill "$pid" image
    restore_detached image
    grows log || fail "stands still after round $round"
done
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
kill -9 -- "-$pid"
