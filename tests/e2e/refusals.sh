# Clear sentences and the right exit codes; the targets stay untouched.
expect_exit 1 freeze --check 999999
grep -qi 'no such process' stderr || fail "$(cat stderr)"
expect_exit 2 freeze
expect_exit 2 freeze notapid
expect_exit 3 freeze --check $$
grep -q 'freeze itself belongs to its tree' stderr || fail "$(cat stderr)"
expect_exit 3 bash -c 'exec freeze $$ -- cat'
grep -q 'freeze itself belongs to its tree' stderr || fail "$(cat stderr)"

# Somebody without privileges.
sleep 100 & pid=$!
cp "$FLOE_TOOLS/freeze" /tmp/freeze.$$ && chmod 755 /tmp/freeze.$$
expect_exit 5 setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all /tmp/freeze.$$ "$pid" -- cat
grep -q CAP_ stderr || fail "$(cat stderr)"
rm -f /tmp/freeze.$$

# Two blockers at once, both of them named, the target untouched.
python3 -c '
import ctypes, struct, time
libc = ctypes.CDLL(None)
print(libc.syscall(430, b"tmpfs", 0), libc.syscall(298, ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0), 112), 0, -1, -1, 0), flush=True)
time.sleep(100)' > blockers & blocked=$!
until_true 5 test -s blockers
expect_exit 3 freeze "$blocked" -- cat
for what in fscontext perf_event; do
    grep -q "fd [0-9]* (anon_inode:\[$what\])" stderr || fail "$what is not named: $(cat stderr)"
done
# One cause, said once.
[[ $(wc -l < stderr) == 1 ]] || fail "more is named: $(cat stderr)"
[[ $(awk '/^State/ { print $2 }' "/proc/$blocked/status") == S ]] || fail "touched"
kill "$blocked" "$pid"

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
bash -c 'ulimit -n 600; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource \
    restore --detach --allow limits < many' 2> stderr || fail "allowed: exit $? $(cat stderr)"
grep -q "lost: .*RLIMIT_NOFILE: it was $hard, and becomes 600" stderr || fail "$(cat stderr)"
grep -q 'open files  *[0-9]*  *600 ' "/proc/$pid/limits" || fail "$(cat "/proc/$pid/limits")"
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"
bash -c 'ulimit -Sn 256; exec restore --detach < many' || fail "many files: exit $?"
grep -q "open files  *$(ulimit -Sn)  *$hard " "/proc/$pid/limits" || fail "$(cat "/proc/$pid/limits")"
kill -9 "$pid"

# The stream never goes to a terminal, and a damaged one is told apart.
head -c 100 /dev/urandom > rubbish
for tool in dumpmnt dumpfs aufsfix dumpmem imgpack restore; do
    expect_exit 4 "$tool" < rubbish
    expect_exit 4 "$tool" < /dev/null
done
