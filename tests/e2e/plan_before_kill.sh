# What could never be restored is not killed for: restore keeps every file of the tree between its numbers, or above them.
python3 -c '
import os, resource, time
most = 2000
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for number in range(50, most):
    os.dup2(os.open("/dev/null", os.O_RDWR), number)
print("ready", flush=True)
time.sleep(100)' > full & pid=$!
until_true 5 test -s full
# Without CAP_SYS_RESOURCE restore has no more than its own limit.
limited=(bash -c 'ulimit -n 3000; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource "$@"' limited)
"${limited[@]}" freeze --check "$pid" > said
grep -q "^outside: descriptors: the highest one is 1999, restore needs" said || fail "$(cat said)"
expect_exit 3 "${limited[@]}" strace -o trace -e trace=ptrace freeze --then kill "$pid" -- true
grep -q "the highest one is 1999, restore needs" stderr || fail "$(cat stderr)"
! grep SEIZE trace || fail "it was stopped before anybody has looked"
# An image is no harm: it may be restored where there is more room.
expect_exit 0 "${limited[@]}" checkpoint.sh "$pid" -o full.floe --leave-running
until_true 5 grep -q '^State:.S' "/proc/$pid/status"
kill "$pid"
expect_exit 3 "${limited[@]}" restore --plan < full.floe

# The highest number that there is.
python3 -c '
import os, resource, time
with open("/proc/sys/fs/nr_open") as file: most = int(file.read())
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
except ValueError:
    # Without CAP_SYS_RESOURCE, which restore has not either.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
os.dup2(os.open("/dev/null", os.O_RDWR), most - 1)
print(most, flush=True)
time.sleep(100)' > high & pid=$!
until_true 5 test -s high
most=$(cat high)
checkpoint_kill "$pid" high.floe
restore_detached high.floe
[[ $(readlink "/proc/$pid/fd/$((most - 1))") == /dev/null ]] || fail "it is gone: $(ls "/proc/$pid/fd")"
kill "$pid"

# Where there is room above the highest number, all is as ever.
python3 -c '
import os, time
os.dup2(os.open("/dev/null", os.O_RDWR), 500)
print("ready", flush=True)
time.sleep(100)' > low & pid=$!
until_true 5 test -s low
expect_exit 0 checkpoint.sh "$pid" -o low.floe --kill
all_gone "$pid"
restore --plan < low.floe | has_line '^dismiss the guardian$' || fail "the plan is not whole"
