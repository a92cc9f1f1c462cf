# restore --lazy: memory comes while its process runs on, moves it, drops it, forks and ends; nothing is lost, and nothing is left.
pagers() { pgrep '^floe-[pk]' || true; }
whole() { ! grep -q '^VmFlags:.* um' "/proc/$1/smaps"; }
begin() { # MIB
    start log python3 "$dir/lazy.py" "$@"
    until_true 60 grep -q ready log
    checkpoint_kill "$pid" image
}
# The pager runs for a moment only, again and again, so that much is missing all the time.
slowly() {
    while pids=$(pgrep -x floe-pager); do
        kill -STOP $pids && sleep 0.02 && kill -CONT $pids && sleep 0.003
    done
    true
} 2> /dev/null

begin 64
for pace in at_once at_once slowly; do
    restore_detached image --lazy --on-change accept
    kill -USR1 "$pid"
    [[ $pace == at_once ]] || slowly
    until_true 60 grep -Eq 'passed|FAILED|Error' log
    has_line passed < log || fail "$pace: $(cat log)"
    until_true 10 eval '[[ -z $(pagers) && ! -e /proc/$pid ]]'
    : > log
done

# It is whole after a while by itself, in one mapping as before, and can be captured again; not earlier.
start log python3 -c '
import os, time
data = os.urandom(64 << 20)
print("ready", flush=True)
time.sleep(1000)'
until_true 20 grep -q ready log
maps() { sed 's/ .*//' "/proc/$pid/maps"; }
maps > maps
checkpoint_kill "$pid" image
# While what is touched is recorded nothing else is filled, for a second.
restore_detached image --lazy --record-working-set set
if whole "$pid"; then fail "nothing is missing"; fi
expect_exit 3 checkpoint.sh "$pid" -o second --leave-running
has_line 'userfaultfd watches it.*floe-pager' < stderr
until_true 20 eval '[[ -z $(pagers) ]]'
whole "$pid" || fail "it is still watched"
maps | cmp - maps || fail "its mappings are others"
checkpoint_kill "$pid" second

# It ends while much is missing: so does the pager.
restore_detached second --lazy --record-working-set set
kill -9 "$pid"
all_gone "$pid"
until_true 5 eval '[[ -z $(pagers) ]]'

# A stream in a pipe has no order of its own.
expect_exit 2 restore --detach --lazy < <(cat second)
has_line 'an image in a regular file' < stderr
