# A terminal by a device file outside of /dev, under a number that restore has none for: the look says what restore wants.
mknod console c 5 1
cat > open.py <<'SCRIPT'
import os, sys, time
try:
    os.dup2(os.open("console", os.O_RDWR | os.O_NOCTTY), 7)
except OSError as error:
    print("SKIPPED there is no console:", error, flush=True)
    sys.exit()
print("ready", flush=True)
time.sleep(1000)
SCRIPT
start log python3 open.py
until_true 10 grep -Eq 'ready|SKIPPED' log
if grep SKIPPED log; then exit 0; fi
freeze --check "$pid" > said || fail "--check: exit $?"
grep -q "^outside: pid $pid: fd 3 (.*/console): a terminal (restore wants a terminal of its own, --inherit 3" said || fail "$(cat said)"
! freeze --check --outside null "$pid" | grep outside || fail "said though it is decided"
checkpoint_kill "$pid" image
expect_exit 3 restore.sh image --detach
grep -q -- '--inherit 3' stderr || fail "$(cat stderr)"
restore.sh image --detach --inherit 3 3> three
[[ $(readlink "/proc/$pid/fd/7") == "$PWD/three" && $(readlink "/proc/$pid/fd/3") == "$PWD/three" ]] || fail "$(ls -l "/proc/$pid/fd")"
kill -9 "$pid"

# A device of the machine, which no terminal of restore takes the place of.
mknod ttyS9 c 5 1
sed -i 's/"console"/"ttyS9"/' open.py
start log python3 open.py
until_true 10 grep -q ready log
freeze --check "$pid" > said || fail "--check: exit $?"
grep -q "^outside: pid $pid: fd 3 (.*/ttyS9): a virtual console or a serial line (restore wants --inherit 3" said || fail "$(cat said)"
checkpoint_kill "$pid" image
expect_exit 3 script -qec "restore.sh image --detach 2> stderr" /dev/null
grep -q -- '--inherit 3' stderr || fail "$(cat stderr)"
restore.sh image --detach --inherit 3 3> three
[[ $(readlink "/proc/$pid/fd/7") == "$PWD/three" ]] || fail "$(ls -l "/proc/$pid/fd")"
kill -9 "$pid"
