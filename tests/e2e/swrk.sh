# The interface of criu for engines (criu-front): what is asked and answered, notifications in their order, and refusals, the end of
# the engine and that of the front at each of them: the target runs on, or nothing of it is left.
mkdir bin images
ln -s "$FLOE_TOOLS/criu-front" bin/criu
export PATH=$PWD/bin:$PATH
engine() { python3 "$dir/engine.py" "$@"; }
says() { # TEXT COMMAND…: what is said has these lines, and maybe others
    local text=$1 line; shift
    "$@" > said 2>&1 || true
    while IFS= read -r line; do
        grep -qxF -- "$line" said || fail "$*: no \"$line\" in: $(cat said)"
    done <<< "$text"
}
asks() { "$@" > said 2>&1 || true; }
notes() { grep -o '^notify [a-z-]*' said | cut -d ' ' -f 2 | tr '\n' ' '; }
# Zombies of a front whose engine is gone belong to init.
no_tools() { ! ps -eo comm= | has_line -Ex 'freeze|dumpfs|aufsfix|dumpmem|imgpack|restore'; }

# What needs no tree.
[[ $(criu --version) == 'Version: 4.2' ]] || fail "$(criu --version)"
criu check > /dev/null || fail "criu check: $?"
criu check --feature external_net_ns > /dev/null || fail 'a feature is missing'
expect_exit 1 criu check --feature uffd-noncoop
tracks=0
! criu check --feature mem_dirty_track > /dev/null || tracks=1
says "version ok version=4.2 floe
features ok features=$tracks,0,0
check ok
empty no floe does not know this request
front 0" engine version --more features --more check --more 42 --more version

# The stdio of a container: pipes of the engine, by what they are.
cat > program.py << 'SCRIPT'
import sys
for line in sys.stdin: print("got", line.strip(), flush=True)
sys.exit(7)
SCRIPT
mkfifo to_in; exec 3<> to_in
streams() { # descriptors 4 and 5: pipes of ours, from the one file and to the other
    exec 4< <(exec cat to_in 3>&-) 5> >(exec cat >> out 3>&-)
}
runs() { # does it answer?
    local n=$RANDOM
    # A cat of a tree that is gone may take one.
    until_true 10 eval 'echo "$n" >&3; sleep 0.05; grep -qx "got $n" out'
}
begin() {
    : > out
    streams
    setsid python3 -u program.py <&4 >&5 2>&1 3>&- 4>&- 5>&- 251>&- &
    pid=$!
    exec 4>&- 5>&-
    while not_yet "$pid"; do sleep 0.01; done
    runs || fail 'it does not begin'
    named
    sleep 0.1
}
named() { pipes=("$(readlink "/proc/$pid/fd/0")" "$(readlink "/proc/$pid/fd/1")"); }
bring_back() { # OPTIONS…: restored, a child of the engine, which waits for it
    streams
    engine restore images=images notify_scripts=1 log_file=restore.log "inherit_fd=${pipes[0]}:0" "inherit_fd=${pipes[1]}:7" "$@" \
        <&4 7>&5 2> errors 3>&- 4>&- 5>&- || true
    exec 4>&- 5>&-
}
gone() { until_true 10 test ! -e "/proc/$pid"; }
begin
says "notify pre-dump
notify network-lock
notify query-ext-files
notify post-dump
notify network-unlock
dump ok
front 0" engine dump pid="$pid" images=images leave_running=1 notify_scripts=1 log_file=dump.log parent_img=../before unknown=5
[[ $(notes) == 'pre-dump network-lock query-ext-files post-dump network-unlock ' ]] || fail "$(cat said)"
runs || fail 'it was left running'
[[ $(cd images; echo *) == 'dump.log floe.img inventory.img parent stats-dump' ]] || fail "$(ls images)"
[[ $(readlink images/parent) == ../before ]] || fail 'the link to the images before'
[[ $(head -c 8 images/inventory.img | od -An -tx4 | tr -d ' ') == 5456431958313116 ]] || fail 'inventory.img'
[[ $(head -c 8 images/stats-dump | od -An -tx4 | tr -d ' ') == 5510594057093306 ]] || fail 'stats-dump'
grep -q 'option number 99 makes no difference' images/dump.log || fail "$(cat images/dump.log)"
says 'dump ok' engine dump pid="$pid" images=images leave_running=1
[[ $(notes) == '' ]] || fail "it has told who did not want to know: $(cat said)"

# At each notification: the engine refuses, is gone, or the front is killed.
for script in pre-dump network-lock query-ext-files post-dump; do
    for how in --refuse --die --kill; do
        rm -f images/*
        engine dump pid="$pid" images=images notify_scripts=1 "$how" "$script" > said 2>&1 || true
        until_true 10 no_tools
        runs || fail "$how at $script, and it stands still"
        [[ $how == --kill || $(cd images; echo *) =~ ^(dump.log|\*)$ ]] || fail "$how at $script leaves $(ls images)"
        [[ ! -e images/floe.img ]] || fail "$how at $script leaves an image"
    done
done
grep -q 'Error' images/dump.log || engine dump pid="$pid" images=images notify_scripts=1 --refuse post-dump > said 2>&1 || true
grep -q 'Error (floe): the engine has refused at the notification post-dump' images/dump.log || fail "$(cat images/dump.log)"

# Refusals, each with its line in the log.
refuses() { # SENTENCE OPTIONS…
    local sentence=$1; shift
    asks engine dump pid="$pid" images=images log_file=dump.log "$@"
    grep -q '^dump no' said || fail "$*: $(cat said)"
    grep -q "Error (floe): .*$sentence" images/dump.log || fail "$*: no \"$sentence\" in: $(cat images/dump.log)"
    runs || fail "$* was refused, and it stands still"
}
refuses 'option lazy_pages' lazy_pages=1
refuses 'option lsm-profile apparmor:x: the tree comes back with the label of restore' lsm_profile=apparmor:x
if ! label=$(tr -d '\0' < /proc/self/attr/current 2> /dev/null) || [[ $label == unconfined* ]]; then
    says 'dump ok' engine dump pid="$pid" images=images leave_running=1 lsm_profile=apparmor:unconfined
fi
echo lazy-pages > our.conf
refuses 'option lazy-pages' "config_file=$PWD/our.conf"

# A dump in advance, of which the engine hears no steps, and one that builds on it.
if [[ $tracks == 1 ]]; then
    mkdir -p before
    says 'pre_dump ok' engine pre_dump pid="$pid" images=before log_file=pre.log notify_scripts=1
    [[ $(notes) == '' && -s before/floe.img ]] || fail "$(cat said)"
    runs || fail 'it stands still behind a dump in advance'
    says 'dump ok' engine dump pid="$pid" images=images parent_img=../before leave_running=1
    [[ $(readlink images/parent) == ../before ]] || fail "$(ls -l images)"
    (($(stat -c %s images/floe.img) < $(stat -c %s before/floe.img))) || fail "$(ls -l images before)"
    rm images/parent
fi

# It comes back, as a child of the engine, in both generations.
for round in 1 2; do
    says 'dump ok' engine dump pid="$pid" images=images notify_scripts=1
    gone
    : > out
    rm -f told
    bring_back --wait > told &
    engine=$!
    until_true 10 grep -qs '^front' told
    grep -q "^restore ok pid=$pid" told || fail "$(cat told errors images/restore.log)"
    said=$(grep -o '^notify .*' told)
    want=$(printf 'notify %s\n' pre-restore "setup-namespaces $pid" "post-setup-namespaces $pid" "post-restore $pid" "network-unlock $pid" "pre-resume $pid" "post-resume $pid")
    [[ $said == "$want" ]] || fail "$said"
    [[ -s images/stats-restore ]] || fail 'stats-restore'
    parent=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")
    parent=$(tr '\0' ' ' < "/proc/$parent/cmdline")
    [[ $parent == *engine.py* ]] || fail "it is a child of $parent"
    runs || fail 'it stands still'
    named
done
says 'dump ok' engine dump pid="$pid" images=images notify_scripts=1
gone
wait "$engine" || true

# At each notification of a restore: nothing is left, and it can be repeated.
for script in pre-restore setup-namespaces post-restore pre-resume; do
    for how in --refuse --die --kill; do
        bring_back "$how" "$script" > said 2>&1 || true
        until_true 10 no_tools
        gone || fail "$how at $script leaves $(cat "/proc/$pid/status")"
    done
done
# What it is not given comes back closed, and the log says so.
asks engine restore images=images log_file=restore.log
grep -q '^restore ok' said || fail "a restore without its pipes: $(cat said)"
grep -q "Warn  (floe): fd 0 of .*: it comes back with its other end closed" images/restore.log || fail "$(cat images/restore.log)"
gone
mv images/floe.img away
asks engine restore images=images log_file=restore.log
grep -q '^restore no there is no image of floe' said || fail "$(cat said)"
grep -q 'Error (floe): there is no image of floe' images/restore.log || fail "$(cat images/restore.log)"
mv away images/floe.img
bring_back > told
grep -q '^restore ok' told || fail "$(cat told errors)"
runs || fail 'it stands still'
kill -9 "$pid"
gone
# The command line of LXC.
begin
criu dump --tcp-established --file-locks --link-remap --manage-cgroups=full --ext-mount-map auto --enable-external-sharing \
    --enable-external-masters --enable-fs hugetlbfs -D "$PWD/images" -o lxc.log -vvvv -t "$pid" --leave-running || fail "$(cat images/lxc.log)"
runs || fail 'it stands still behind criu dump'
criu dump -D "$PWD/images" -o lxc.log -t "$pid" || fail "$(cat images/lxc.log)"
gone
streams
criu restore -D "$PWD/images" -o back.log --restore-detached --pidfile "$PWD/pidfile" --inherit-fd "fd[7]:${pipes[0]}" \
    --inherit-fd "fd[8]:${pipes[1]}" 7<&4 8>&5 3>&- 4>&- 5>&- 251>&- || fail "$(cat images/back.log)"
exec 4>&- 5>&-
[[ $(cat pidfile) == "$pid" ]] || fail 'the file with the pid'
runs || fail 'it stands still behind criu restore'
kill -9 "$pid"
