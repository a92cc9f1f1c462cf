# migrate.sh --lazy: a tree runs elsewhere while its memory is still here; whatever dies then, nobody goes on with memory that is missing.
. "$dir/hosts.sh"
pagers() { pgrep '^floe-[pk]' || true; }
none_left() { until_true 10 eval '[[ -z $(pagers) ]]' || fail "$(ps -e)"; }
cat > holder.py <<'P'
import hashlib, os, signal, threading, time
parts = [os.urandom(1 << 20) * 1 for n in range(160)]
want = [hashlib.blake2b(part).digest() for part in parts]
def look(first):
    for n in range(first, len(parts), 3):
        if hashlib.blake2b(parts[n]).digest() != want[n]: print("DIFFERS", n, flush=True)
def all_of_it(*_):
    threads = [threading.Thread(target=look, args=(n,)) for n in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if os.fork() == 0:
        look(0)
        os._exit(0)
    os.wait()
    print("looked", flush=True)
signal.signal(signal.SIGUSR1, all_of_it)
print("ready", flush=True)
n = 0
while True:
    time.sleep(0.02)
    print(n := n + 1, flush=True)
P
start_here() {
    : > log
    in_here setsid bash -c 'echo $$ > pid; exec python3 holder.py >> log 2>&1 < /dev/null' &
    until_true 30 grep -q ready log
    pid=$(cat pid)
}
numbers() { grep -E '^[0-9]+$' log | awk '$1 != ++n { exit 1 }'; }

# It moves, and looks at all of its memory at once.
start_here
migrate --lazy --move "(until $(type -p nsenter) -t $there -m -n -p kill -USR1 $pid; do sleep 0.01; done) & true" 2> said || fail "exit $?: $(cat said)"
[[ ! -e /proc/$pid ]] || not_running "$pid" || fail "it runs here as well"
is_there || fail "it does not run there: $(cat said)"
until_true 30 grep -q looked log
grep DIFFERS log && fail "memory differs"
grows log || fail "it stands still there"
numbers || fail "a number is lost or doubled: $(cat log)"
none_left
[[ -z $(in_there pgrep '^floe-[pk]') ]] || fail "a pager is left there"
end_there

# It is refused there: it runs on here.
start_here
expect_exit 3 in_here migrate.sh "$pid" --lazy --by "nsenter -t $there -m -n -p" --to --join=mnt=here
grows log || fail "it does not run on here"
is_there && fail "it is there"
# The way ends while memory is missing: there it ends, here it is stopped as it was when it moved.
for victim in servemem floe-pager; do
    migrate --lazy 2> said & script=$!
    until pgrep -x "$victim" > /dev/null || ! kill -0 "$script" 2> /dev/null; do :; done
    pkill -9 -x "$victim" || true
    status=0
    wait "$script" || status=$?
    if ((status == 0)); then
        # It was faster than we.
        end_there
        start_here
        continue
    fi
    ((status == 6)) || fail "exit $status after the end of $victim: $(cat said)"
    until_true 10 eval '! is_there' || fail "it is left there after the end of $victim: $(cat said)"
    until_true 5 not_running "$pid" || fail "it runs here after the end of $victim"
    none_left
    grep DIFFERS log && fail "it went on with other memory"
    kill -CONT "$pid"
    grows log || fail "it does not go on after the end of $victim"
    : > log
    kill -USR1 "$pid"
    until_true 30 grep -q looked log
    grep DIFFERS log && fail "memory differs here"
done
kill -9 "$pid" 2> /dev/null || true

# A stream with pages that were left is of no use by itself.
start_here
in_here freeze "$pid" --then run -- bash -c 'dumpmnt | dumpfs | aufsfix | dumpmem --leave left > stream'
(($(wc -l < left) > 0 && $(stat -c %s stream) < 100 << 20)) || fail "nothing is left: $(cat left)"
kill -9 "$pid"
expect_exit 3 restore --detach < stream
has_line 'pages of it have stayed where it was' < stderr
# Nothing else is given than what was left.
echo "want $pid 1000-2000" | expect_exit 1 servemem left > /dev/null
has_line 'were not left' < stderr
expect_exit 1 servemem left < /dev/null
kill -9 "$here" "$there"
