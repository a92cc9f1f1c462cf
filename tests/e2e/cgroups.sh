# Cgroups that are gone are made again; what restore is asked for instead; what cannot be is refused before anything is made.
name=$RANDOM$RANDOM
tops=()
for words in "cgroup2 rw" "cgroup pids" "cgroup cpuset" "cgroup none,name=systemd" "cgroup memory" "cgroup freezer"; do
    read -r type option <<< "$words"
    mkdir -p "tops/${words##*[ =]}"
    if mount -t "$type" -o "$option" none "tops/${words##*[ =]}" 2> /dev/null; then tops+=("$PWD/tops/${words##*[ =]}"); fi
done
if ((${#tops[@]} == 0)); then echo "SKIPPED no cgroup can be made"; exit 0; fi
below() { find "${tops[@]}" -depth -path "*/floe-*-$name*" -type d; }
remove() { # Whatever is left: what was killed leaves its cgroup in a moment.
    local dir
    while read -r dir; do until_true 5 rmdir "$dir"; done < <(below)
}
leave() { for top in "${tops[@]}"; do echo $BASHPID > "$top/cgroup.procs"; done; }
trap 'leave; kill -9 -- "-${pid:-0}" "-${copy:-0}" 2> /dev/null; remove' EXIT
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
mkdir "${tops[0]}/floe-join-$name"
restore_detached image --cgroup "join:/floe-join-$name"
members "$pid" | grep -q ":/floe-join-$name/child$" || fail "not joined: $(members "$pid")"
members "$pid" | grep -q ":/floe-join-$name/main" || fail "not joined: $(members "$pid")"
kill -9 -- "-$pid"; all_gone "$pid"; remove
for top in "${tops[@]:1}"; do rmdir "$top/child" "$top/main/thread" "$top/main" 2> /dev/null || true; done
expect_exit 3 restore --detach --cgroup "join:/floe-none-$name" < image
grep -q "no hierarchy here has such a cgroup" stderr || fail "$(cat stderr)"

# Hierarchies that are not there, and a user who may not: nothing is made.
expect_exit 3 unshare --mount bash -c 'while umount -t cgroup,cgroup2 -a; do :; done 2> /dev/null; restore --detach < image'
grep -q "floe-kept-$name.*is not mounted here.*--cgroup ignore" stderr || fail "$(cat stderr)"
chmod 755 .; chmod 644 image
cp "$FLOE_TOOLS/restore" restore-of-user
able=(setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps +checkpoint_restore,+sys_ptrace
    --ambient-caps +checkpoint_restore,+sys_ptrace)
"${able[@]}" ./restore-of-user --detach < image 2> stderr && fail "an ordinary user may"
grep -q "floe-kept-$name.*ermission denied" stderr || fail "$(cat stderr)"
[[ -z $(below) && ! -e /proc/$pid ]] || fail "left: $(below)"
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
