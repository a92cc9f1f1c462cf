# Rights that restore has not are refused before anything is made, and not met with when half of the tree is there.
type -P setpriv > /dev/null || { echo "SKIPPED no setpriv"; exit 0; }
refuses() { # CAPABILITIES-TO-DROP SENTENCE
    expect_exit 3 strace -qf -o trace -e trace=ptrace setpriv --bounding-set "$1" restore --detach < image
    grep -q "$2" stderr || fail "without $1: $(cat stderr)"
    if grep -q '^[0-9]* *ptrace' trace; then fail "a process was made"; fi
}
start log setpriv --reuid=65534 --regid=65534 --clear-groups sleep 1000
checkpoint_kill "$pid" image
refuses -setuid "user 65534.*CAP_SETUID"
refuses -setgid "groups.*CAP_SETGID"
restore_detached image
[[ $(stat -c %u "/proc/$pid") == 65534 ]] || fail "it is another user"
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"

start log sleep 1000
checkpoint_kill "$pid" image
refuses -mac_admin "it holds CAP_MAC_ADMIN, which restore has not"
restore_detached image
kill -9 "$pid"
