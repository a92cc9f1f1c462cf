# A tree whose root is pid 1 of a pid namespace: killed from inside, where no signal ends it, and restored as pid 1 again.
inside() { # INIT COMMAND…: with the mounts and in the pid namespace of a process
    nsenter -t "$1" -p -m --wd="$PWD" env PATH="$PATH" "${@:2}"
}

not_there() { ! pgrep -x "$1" > /dev/null; }

start_init() { # LOG SCRIPT: sets unshare and init
    # unshare(1) has something to say when it ends.
    setsid unshare --pid --fork --mount-proc bash -c "exec > $1 2>&1; $2" < /dev/null > said 2>&1 &
    unshare=$!
    until_true 10 test -e "$1"
    until_true 10 grep -q 5 "$1"
    init=$(pgrep -P "$unshare")
}

counts='sleep 1000 & child=$!; trap "exit 42" USR1
    while sleep 0.02; do kill -0 $child || exit 1; echo $$ $((++n)); done'
start_init log "$counts"
expect_exit 0 inside "$init" freeze --check 1
expect_exit 3 inside "$init" freeze --then stop 1 -- true
grep -q "it is pid 1" stderr || fail "$(cat stderr)"
grows log || fail "refused, and it stands still"
# What its namespace has of its own, and a new one has not.
freeze --check "$init" > check || fail "$(cat check)"
grep -q pid_max check && fail "nobody has touched it: $(cat check)"
before=$(cat /proc/sys/kernel/pid_max)
inside "$init" bash -c 'echo 70000 > /proc/sys/kernel/pid_max'
freeze --check "$init" > check || fail "$(cat check)"
if [[ $(cat /proc/sys/kernel/pid_max) == "$before" ]]; then
    has_line '^lost: kernel.pid_max: it is 70000 ' < check || fail "$(cat check)"
fi
expect_exit 0 timeout -k 1 60 nsenter -t "$init" -p -m --wd="$PWD" env PATH="$PATH" \
    checkpoint.sh 1 -o image --kill
wait "$unshare" && fail "it was killed, and unshare(1) says that it is well"
all_gone "$init"
# A signal that ends a freeze from inside gives it back.
start_init log2 "$counts"
inside "$init" freeze --then kill 1 -- sleep 1000 &
until_true 10 pgrep -x freeze
until_true 10 pgrep -f "^sleep 1000$"
pkill -TERM -x freeze
until_true 10 not_there freeze
grows log2 || fail "it was not given back"
kill -9 "$init"; wait "$unshare" || true

where=(--join mnt=here)
expect_exit 3 restore --detach "${where[@]}" < image
grep -q -- --new-pidns stderr || fail "$(cat stderr)"
expect_exit 0 restore.sh image --detach --new-pidns "${where[@]}" --pidfile pid
root=$(cat pid)
[[ $(awk '/^NSpid/ { print $NF }' "/proc/$root/status") == 1 ]] || fail "the root is not pid 1"
pgrep -P "$root" -f "^sleep 1000" > /dev/null || fail "its children: $(pgrep -aP "$root")"
grows log || fail "the restored root stands still"
awk '$1 != 1 || $2 != ++n { exit 1 }' log || fail "a number is lost or doubled: $(cat log)"
# It is the init of its namespace: no signal from inside ends it, and all end with it.
inside "$root" kill -9 1
grows log || fail "pid 1 was killed from inside"
children=$(pgrep -P "$root")
kill -9 "$root"
all_gone "$root" $children

# In the foreground its status is that of restore; what cannot be restored leaves nothing.
restore.sh image --new-pidns "${where[@]}" --on-change append & waiter=$!
until_true 10 grows log
kill -USR1 "$(pgrep -P "$waiter")"
wait "$waiter" && fail "status 0" || status=$?
[[ $status == 42 ]] || fail "status $status instead of 42"
rm log
expect_exit 3 restore.sh image --new-pidns "${where[@]}"
until_true 5 not_there restore
