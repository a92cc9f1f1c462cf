# Cgroups that are gone are made again; what restore is asked for instead; what cannot be is refused before anything is made.
name=$RANDOM$RANDOM
mount_cgroups "cgroup2 rw" "cgroup pids" "cgroup cpuset" "cgroup none,name=systemd" "cgroup memory" "cgroup freezer" "cgroup devices"
below() { find "${tops[@]}" -depth -path "*/floe-*-$name*" -type d; }
remove() { # Whatever is left: what was killed leaves its cgroup in a moment.
    local dir
    while read -r dir; do until_true 5 rmdir "$dir"; done < <(below)
}
end() {
    local group
    for group in $pid $copy; do kill -9 -- "-$group" 2> /dev/null || true; done
    remove
}
pid='' copy=''
trap end EXIT
members() { # PID: where its process, child and threads are
    cat "/proc/$1/task/"*/cgroup "/proc/$(cat "/proc/$1/task/$1/children" | tr -d ' ')/cgroup" | sort
}
all() { below | while read -r dir; do stat -c '%n %a %u:%g' "$dir"; done; }

start log env PYTHONDONTWRITEBYTECODE=1 python3 "$FLOE_FIXTURES/cgroup.py" "$name"
until_true 30 grep -Eq "ready|SKIPPED|Error" log; grep -q ready log || fail "$(cat log)"
before=$(members "$pid") dirs=$(all)
checkpoint.sh "$pid" -o image --leave-running || fail "checkpoint: exit $?"
[[ $(members "$pid") == "$before" && $(all) == "$dirs" ]] || fail "the original was moved"
# Beside the original, in the same cgroups.
restore.sh image --detach --new-pidns --pidfile copy.pid || fail "beside the original: exit $?"
copy=$(cat copy.pid)
[[ $(members "$copy") == "$before" ]] || fail "the copy is elsewhere: $(members "$copy")"
kill -9 "$copy" "$(cat "/proc/$copy/task/$copy/children" | tr -d ' ')"
until_true 5 test ! -e "/proc/$copy"
copy=

# Told to ignore them, freeze says what is lost.
freeze --check --cgroup ignore "$pid" > check
grep -q "^lost: .*floe-kept-$name/child.*comes back in that of restore" check || fail "$(cat check)"
freeze --check "$pid" > check
grep -q "^lost" check && fail "$(cat check)"
checkpoint_kill "$pid" image
until_true 5 remove
[[ -z $(below) ]] || fail "left: $(below)"

own=$(cat /proc/self/cgroup | sort -u)
restore_detached image --cgroup ignore
[[ $(members "$pid" | sort -u) == "$own" && -z $(below) ]] || fail "not ignored: $(members "$pid")"
end_group "$pid"

# In the place of the one that had all of it.
for top in "${tops[@]}"; do
    mkdir "$top/floe-join-$name"
    [[ ! -e $top/cpuset.cpus ]] || for file in cpus mems; do echo 0 > "$top/floe-join-$name/cpuset.$file"; done
done
restore_detached image --cgroup "join:/floe-join-$name"
[[ $(members "$pid") == "${before//floe-kept/floe-join}" ]] || fail "not joined: $(members "$pid")"
end_group "$pid"; remove
expect_exit 3 restore --detach --cgroup "join:/floe-none-$name" < image
grep -q "no hierarchy here has such a cgroup" stderr || fail "$(cat stderr)"

# Hierarchies that are not there: nothing is made.
without='awk "\$3 ~ /^cgroup/ { print \$2 }" /proc/mounts | tac | xargs umount && restore --detach < image'
expect_exit 3 unshare --mount bash -c "$without"
grep -q "floe-kept-$name.*is not mounted here.*--cgroup ignore" stderr || fail "$(cat stderr)"
# A restore that fails when they have been made removes them.
cp image damaged
size=$(stat -c %s damaged)
dd if=/dev/urandom of=damaged bs=1 seek=$((size / 2)) count=64 conv=notrunc status=none
expect_exit 4 restore --detach < damaged
[[ -z $(below) && ! -e /proc/$pid ]] || fail "left: $(below)"

# What is gone is made again.
restore_detached image
[[ $(members "$pid") == "$before" ]] || fail "elsewhere: $(diff <(echo "$before") <(members "$pid"))"
[[ $(all) == "$dirs" ]] || fail "made in another way: $(diff <(echo "$dirs") <(all))"
kill -USR1 "$pid"
until_true 30 grep -Eq 'passed|FAILED' log
grep -q passed log || fail "$(cat log)"

# A user who may not put anything there is refused. Who is there already has nothing to do.
chmod 755 .
cp "$FLOE_TOOLS/restore" restore-of-user
user=(setpriv --reuid 1000 --regid 1000 --clear-groups)
able=("${user[@]}" --inh-caps +checkpoint_restore,+sys_ptrace,+setgid --ambient-caps +checkpoint_restore,+sys_ptrace,+setgid)
mkdir "${tops[0]}/floe-user-$name"
start own "${user[@]}" --bounding-set -all --inh-caps -all sleep 1000
chmod 666 own
echo "$pid" > "${tops[0]}/floe-user-$name/cgroup.procs"
checkpoint_kill "$pid" image
chmod 644 image
expect_exit 3 "${able[@]}" ./restore-of-user --detach < image
grep -q "cgroup .*floe-user-$name.*ermission denied.*--cgroup ignore" stderr || fail "$(cat stderr)"
[[ ! -e /proc/$pid ]] || fail "something was made"
(echo $BASHPID > "${tops[0]}/floe-user-$name/cgroup.procs" && exec unshare --mount bash -c "$without") ||
    fail "in the right cgroup: exit $?"
grep -q "/floe-user-$name$" "/proc/$pid/cgroup" || fail "$(cat "/proc/$pid/cgroup")"
