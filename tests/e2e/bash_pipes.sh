# A bash script with sleep and pipes between its children, detached and in the foreground.
cat > counter.sh <<'SCRIPT'
while sleep 0.05; do echo tick; done | while read -r _; do echo "$((++n))"; done
SCRIPT
start log bash counter.sh
until_true 10 grep -q '^5$' log
checkpoint_kill "$pid" image
last=$(tail -n 1 log)
sleep 0.3
[[ $last == "$(tail -n 1 log)" ]] || fail "something still writes"
restore_detached image
until_true 10 grep -q "^$((last + 5))\$" log
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
kill -9 -- "-$pid"

# In the foreground restore is the parent and returns the status of the root task.
start log2 bash -c 'sleep 1; exit 7'
checkpoint_kill "$pid" image2
expect_exit 7 restore.sh image2
