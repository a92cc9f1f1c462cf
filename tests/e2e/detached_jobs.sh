# restore --detach from an interactive shell, which makes it the leader of a process group: stopped jobs stay as they are, also
# where the tree is in the group of restore because its own leader was outside.
cat > tree.py <<'P'
import os, signal, time
if (child := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1000)
print("ready", os.getpid(), child, flush=True)
signal.pause()
P
set -m
bash -c 'python3 tree.py > log & wait' < /dev/null & outer=$!
until_true 10 grep -q ready log
read -r _ root child < log
until_true 5 grep -q '^State:.T' "/proc/$child/status"
checkpoint.sh "$root" -o image --kill || fail "checkpoint: exit $?"
wait "$outer" || true
all_gone "$root" "$child"
restore --detach < image || fail "restore: exit $?"
sleep 0.2
[[ -e /proc/$root ]] || fail "the tree has ended with restore"
grep -q '^State:.T' "/proc/$child/status" || fail "it goes on: $(grep State "/proc/$child/status")"
kill -9 "$child" "$root"
# The status of a refusal is that of restore.
expect_exit 4 restore --detach < log
