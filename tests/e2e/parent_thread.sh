# A process that is to hear of the end of the thread that made it: what becomes of that is said, and refused with --strict.
cat > maker.py <<'SCRIPT'
import ctypes, os, signal, threading, time
def make():
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        print("ready", flush=True)
    time.sleep(1000)
threading.Thread(target=make).start()
SCRIPT
start log python3 maker.py
until_true 20 grep -q ready log
checkpoint.sh "$pid" -o image || fail "checkpoint: exit $?"
imgpack --list image | grep -q "PR_SET_PDEATHSIG" || fail "nothing is said: $(imgpack --list image | grep -i lost)"
expect_exit 3 checkpoint.sh "$pid" -o strict --strict
grep -q "PR_SET_PDEATHSIG" stderr || fail "$(cat stderr)"
checkpoint_kill "$pid" image
restore_detached image
sleep 0.2
[[ $(ps --no-headers -o pid --ppid "$pid" | wc -l) == 1 ]] || fail "the child is gone"
kill -9 -- "-$pid"
