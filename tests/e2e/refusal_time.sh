# A refusal of a large tree takes no longer than two looks.
cat > many.py <<'SCRIPT'
import os, signal, socket
pairs = [socket.socketpair() for _ in range(300)]
for _ in range(30):
    if os.fork() == 0:
        while True: signal.pause()
print("ready", flush=True)
signal.sigwait({signal.SIGUSR1})
kept = open(f"/proc/{os.getppid()}/stat")
print("refused", flush=True)
signal.pause()
SCRIPT
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
start log env python3 -c '
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
exec(open("many.py").read())'
until_true 30 grep -q ready log
begin=$(milliseconds)
freeze --check "$pid" > said || fail "--check: exit $?"
one=$(($(milliseconds) - begin))
kill -USR1 "$pid"
until_true 10 grep -q refused log
begin=$(milliseconds)
expect_exit 3 freeze --check "$pid"
all=$(($(milliseconds) - begin))
grep -q 'it is of a process outside' stderr || fail "$(cat stderr)"
((all < 4 * one + 500)) || fail "a refusal took $all ms, and a look $one ms"
echo "look $one ms, refusal $all ms"
kill -9 -- "-$pid"
