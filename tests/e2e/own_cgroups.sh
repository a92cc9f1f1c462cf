# Cgroup namespaces: of a tree that is the root of its own, whose cgroup hands controllers on by now; of bwrap(1), and of runc.
name=$RANDOM$RANDOM
mount_cgroups "cgroup2 rw" "cgroup pids" "cgroup freezer"
below() { find "${tops[@]}" -depth -path "*/floe-*-$name*" -type d; }
remove() { below | while read -r dir; do until_true 5 rmdir "$dir"; done; }
pid='' enabled=()
end() {
    local one
    [[ -z $pid ]] || kill -9 "$pid" 2> /dev/null || true
    remove
    for one in "${enabled[@]}"; do echo "-$one" > "${tops[0]}/cgroup.subtree_control" || true; done
}
trap end EXIT

make() { # NAME
    local top
    for top in "${tops[@]}"; do mkdir -p "$top/floe-$1-$name/init"; done
}
view() { sed 's/^[0-9]*//' "$1" | grep -E '^(:pids|:freezer|:):' | sort; }
make kept
cat > worker.py <<'P'
import ctypes, os, sys, time
tops, name = sys.argv[1].split(), sys.argv[2]
for top in tops:
    open(f"{top}/floe-kept-{name}/cgroup.procs", "w").write("0")
assert ctypes.CDLL(None).unshare(0x2000000) == 0
for top in tops:
    open(f"{top}/floe-kept-{name}/init/cgroup.procs", "w").write("0")
    if os.path.exists(f"{top}/cgroup.subtree_control"):
        for controller in open(f"{top}/floe-kept-{name}/cgroup.controllers").read().split():
            open(f"{top}/floe-kept-{name}/cgroup.subtree_control", "w").write("+" + controller)
n = 0
while True:
    n += 1
    open("view.new", "w").write(open("/proc/self/cgroup").read())
    os.rename("view.new", "view")
    print(n, flush=True)
    time.sleep(0.02)
P
# Controllers of version 2, where there are any left for it.
if [[ -e ${tops[0]}/cgroup.subtree_control ]]; then
    for one in $(comm -23 <(tr ' ' '\n' < "${tops[0]}/cgroup.controllers" | sort) <(tr ' ' '\n' < "${tops[0]}/cgroup.subtree_control" | sort)); do
        if echo "+$one" > "${tops[0]}/cgroup.subtree_control"; then enabled+=("$one"); fi
    done
fi
start log python3 worker.py "${tops[*]}" "$name"
until_true 10 grep -qs '^20$' log || fail "$(cat log)"
before=$(view view)
grep -q ':/init$' view || fail "$before"
goes_on() { # PATTERN: what it sees of itself
    grows log || fail "it stands still: $(tail -n 3 log)"
    sleep 0.1
    grep -Eq "$1" view || fail "it sees $(view view)"
}
expect_exit 0 freeze --check "$pid"
checkpoint_kill "$pid" image
remove
for round in 1 2; do
    restore_detached image --on-change "append:$PWD/log"
    goes_on '^0::/init$'
    [[ $(view view) == "$before" ]] || fail "round $round: it sees $(view view)"
    [[ $(readlink "/proc/$pid/ns/cgroup") != "$(readlink /proc/self/ns/cgroup)" ]] || fail "it has no namespace of its own"
    grep -q "/floe-kept-$name/init$" "/proc/$pid/cgroup" || fail "it is elsewhere: $(cat "/proc/$pid/cgroup")"
    checkpoint_kill "$pid" image
    remove
done
awk '$1 != ++n { exit 1 }' log || fail "a number is lost or doubled: $(cat log)"
# Another cgroup in its place; the root of the namespace is as far above as it was.
make join
restore_detached image --on-change "append:$PWD/log" --cgroup "join:/floe-join-$name/init"
goes_on '^0::/init$'
grep -q "/floe-join-$name/init$" "/proc/$pid/cgroup" || fail "not joined: $(cat "/proc/$pid/cgroup")"
kill -9 "$pid"
until_true 5 test ! -e "/proc/$pid"
remove
# In that of restore the namespace is there all the same.
restore_detached image --on-change "append:$PWD/log" --cgroup ignore
goes_on '^0::/$'
[[ $(readlink "/proc/$pid/ns/cgroup") != "$(readlink /proc/self/ns/cgroup)" ]] || fail "it has no namespace of its own"
[[ -z $(below) ]] || fail "left: $(below)"
# A restore that fails leaves neither namespace nor cgroup.
kill -9 "$pid"
until_true 5 test ! -e "/proc/$pid"
cp image damaged
dd if=/dev/urandom of=damaged bs=1 seek=$(($(stat -c %s damaged) / 2)) count=64 conv=notrunc status=none
expect_exit 4 restore --detach --on-change "append:$PWD/log" < damaged
[[ -z $(below) ]] || fail "left: $(below)"
pid=''

type -p bwrap > /dev/null || { echo 'SKIPPED there is no bwrap'; exit 0; }
cat > counter.py <<'P'
import time
n = 0
while True:
    n += 1
    assert open("/proc/self/cgroup").read().splitlines()[-1] == "0::/", open("/proc/self/cgroup").read()
    print(n, flush=True)
    time.sleep(0.02)
P
chmod 777 .
for user in "" "setpriv --reuid 65534 --regid 65534 --clear-groups"; do
    : > log
    setsid $user bwrap --unshare-all --dev-bind / / --proc /proc --tmpfs /tmp --bind "$PWD" "$PWD" python3 "$PWD/counter.py" < /dev/null > log 2>&1 & outer=$!
    until_true 10 grep -q '^20$' log || fail "$(cat log)"
    pid=$(pgrep -P "$outer")
    for round in 1 2; do
        expect_exit 0 freeze --check "$pid"
        rm -f image
        checkpoint.sh "$pid" -o image --kill || fail "checkpoint $round: exit $?"
        restore_detached image --pidfile pid
        pid=$(cat pid)
        grows log || fail "it stands still after restore $round: $(cat log)"
    done
    awk '$1 != ++n { exit 1 }' log || fail "a number is lost or doubled: $(cat log)"
    kill -9 "$pid"
done
pid=''
