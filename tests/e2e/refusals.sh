# Clear sentences and the right exit codes; the targets stay untouched.
expect_exit 1 freeze --check 999999
grep -qi 'no such process' stderr || fail "$(cat stderr)"
expect_exit 2 freeze
expect_exit 2 freeze notapid
expect_exit 3 freeze --check $$
grep -q 'freeze itself belongs to its tree' stderr || fail "$(cat stderr)"
expect_exit 3 bash -c 'exec freeze $$ -- cat'
grep -q 'freeze itself belongs to its tree' stderr || fail "$(cat stderr)"

# A foreign pid namespace.
unshare --pid --fork sleep 100 & sleep 0.3
foreign=$(pgrep -x sleep)
expect_exit 3 freeze "$foreign" -- cat
grep -q 'pid namespace' stderr || fail "$(cat stderr)"
kill -9 "$foreign"

# A zombie.
python3 -c '
import os, time
p = os.fork()
if p == 0: os._exit(0)
print(p, flush=True); time.sleep(100)' > zombie & parent=$!
until_true 5 test -s zombie
expect_exit 3 freeze "$(cat zombie)" -- cat
grep -q zombie stderr || fail "$(cat stderr)"
kill "$parent"

# Somebody without privileges.
sleep 100 & pid=$!
cp "$FLOE_TOOLS/freeze" /tmp/freeze.$$ && chmod 755 /tmp/freeze.$$
expect_exit 5 setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all /tmp/freeze.$$ "$pid" -- cat
grep -q CAP_ stderr || fail "$(cat stderr)"
rm -f /tmp/freeze.$$

# Three blockers at once, all named, the target untouched.
python3 -c '
import ctypes, fcntl, os, time
fcntl.fcntl(os.open("leased", os.O_RDONLY | os.O_CREAT), fcntl.F_SETLEASE, fcntl.F_RDLCK)
libc = ctypes.CDLL(None)
print(libc.inotify_init(), libc.fanotify_init(0, 0), libc.syscall(425, 4, ctypes.create_string_buffer(120)), flush=True)
time.sleep(100)' > blockers & blocked=$!
until_true 5 test -s blockers
expect_exit 3 freeze "$blocked" -- cat
grep -q inotify stderr && grep -q lease stderr || fail "$(cat stderr)"
[[ $(awk '/^State/ { print $2 }' "/proc/$blocked/status") == S ]] || fail "touched"
kill "$blocked" "$pid"

# A session whose leader has ended: no process of the tree could be put into it.
python3 -c '
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(100)
    os._exit(0)
os.wait(); print("ready", flush=True); time.sleep(100)' > sessions & pid=$!
until_true 5 test -s sessions
expect_exit 3 freeze --check "$pid"
grep -q 'session .*its parent has never been in it' stderr || fail "$(cat stderr)"
pkill -9 python3

# Somebody else has the lock by now.
start log python3 -c '
import fcntl, os, time
fcntl.flock(os.open("lock", os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
time.sleep(100)'
until_true 5 test -e lock
checkpoint_kill "$pid" locked
flock lock sleep 20 & holder=$!
until_true 5 bash -c '! flock -n lock true'
expect_exit 3 restore --detach < locked
grep -q 'it is locked' stderr || fail "$(cat stderr)"
pkill -x sleep; wait "$holder" || true
restore_detached locked
! flock -n lock true || fail "the lock did not come back"
kill -9 "$pid"

# A limit that cannot be raised again; and the soft one of restore, which can.
start log python3 -c 'import os, time
for n in range(200): os.open("/dev/null", os.O_RDONLY)
print("ready", flush=True); time.sleep(100)'
until_true 10 grep -q ready log
checkpoint_kill "$pid" many
hard=$(ulimit -Hn)
expect_exit 3 bash -c 'ulimit -n 600; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource \
    restore --detach < many'
grep -q "RLIMIT_NOFILE: it was $hard, and cannot be raised above 600" stderr || fail "$(cat stderr)"
bash -c 'ulimit -Sn 256; exec restore --detach < many' || fail "many files: exit $?"
grep -q "open files  *$(ulimit -Sn)  *$hard " "/proc/$pid/limits" || fail "$(cat "/proc/$pid/limits")"
kill -9 "$pid"

# The stream never goes to a terminal, and a damaged one is told apart.
head -c 100 /dev/urandom > rubbish
for tool in dumpfs aufsfix dumpmem imgpack restore; do
    expect_exit 4 "$tool" < rubbish
    expect_exit 4 "$tool" < /dev/null
done
