# Programs in mount namespaces of their own: below bwrap(1), and a server that works in memory; --external and --root; what is
# refused; and nothing is left of a restore that fails or is killed.
count() { grep -c . /proc/self/mountinfo; }
before=$(count)
nothing_left() { [[ $(count) == "$before" ]] || fail "$1: mounts are left: $(cat /proc/self/mountinfo)"; }
gone() { kill -9 "$@" 2> /dev/null || true; all_gone "$@"; }

# Where a program has no /tmp of its own, others may run beside it.
export PLACE=/tmp/floe-mounts-${PWD##*/}
trap 'rm -rf "$PLACE"' EXIT
cat > program.py << 'SCRIPT'
import os, time
os.makedirs(os.environ["PLACE"], exist_ok=True)
f = open(os.environ["PLACE"] + "/data", "w+")
n = 0
while True:
    n += 1
    f.write(f"{n}\n"); f.flush()
    print(n, os.stat("/dev/null").st_rdev, flush=True)
    time.sleep(0.02)
SCRIPT
counts() { # LOG: does it go on counting, and has it missed no number?
    grows "$1" || fail "it stands still: $(cat "$1")"
    awk '$1 != ++n || $2 != 259 { exit 1 }' <(head -n -1 "$1") || fail "a number is lost or doubled: $(cat "$1")"
}
below_bwrap() { # ARGUMENTS…
    start log bwrap "$@" python3 -c "$(cat program.py)"
    until_true 10 grep -q '^5 ' log
    # bwrap itself stays outside.
    local program table
    program=$(pgrep -P "$pid")
    table=$(cut -d' ' -f4- "/proc/$program/mountinfo" | sort)
    freeze --check "$pid" > /dev/null
    checkpoint.sh "$pid" -o image --leave-running
    counts log
    checkpoint_kill "$pid" image
    for round in 1 2; do
        # Numbers that were written since the first checkpoint are cut off.
        restore_detached image
        counts log
        [[ $(cut -d' ' -f4- "/proc/$program/mountinfo" | sort) == "$table" ]] || fail "$* has other mounts: $(diff <(echo "$table") <(cut -d' ' -f4- "/proc/$program/mountinfo" | sort))"
        [[ $(readlink "/proc/$program/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]] || fail "it is in our namespace"
        checkpoint_kill "$pid" image
    done
    nothing_left "$*"
}
# The same as the init of a pid namespace, with output into a file that its own mounts hide.
init_of_bwrap() { # ARGUMENTS…
    start log bwrap "$@" --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs "$PWD" python3 -c "$(cat program.py)"
    until_true 10 grep -q '^5 ' log
    local outer=$pid init
    init=$(pgrep -P "$outer")
    checkpoint.sh "$init" -o image --kill || fail "$*: exit $?"
    until_true 5 test ! -e "/proc/$outer"
    for round in 1 2; do
        restore_detached image --pidfile pidfile
        init=$(cat pidfile)
        counts log
        [[ $(grep -ac '^[0-9]' "/proc/$init/root$PLACE/data") -gt 5 ]] || fail "$*: its file is gone"
        checkpoint.sh "$init" -o image --kill || fail "$*, round $round: exit $?"
        until_true 5 test ! -e "/proc/$init"
    done
    nothing_left "$*"
}
if type -p bwrap > /dev/null; then
    below_bwrap --dev-bind / /
    below_bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp
    below_bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /var/tmp --bind "$PWD" /mnt --chdir /mnt
    init_of_bwrap --unshare-pid
    init_of_bwrap --unshare-pid --unshare-net --unshare-ipc --unshare-uts
    init_of_bwrap --unshare-user --unshare-pid
else
    echo "SKIPPED: bubblewrap is not installed"
fi

# A server whose files are in memory that only it sees.
if type -p redis-server > /dev/null; then
    mkdir data
    start log unshare --mount bash -c 'mount -t tmpfs redis data; cd data; exec redis-server --port 0 --unixsocket ../redis.sock --save "" --appendonly yes'
    ask() { redis-cli -s redis.sock "$@"; }
    until_true 10 eval '[[ $(ask ping 2> /dev/null) == PONG ]]'
    for n in {1..50}; do ask set "key$n" "$n" > /dev/null; done
    [[ -z $(ls data) ]] || fail "it writes into the directory of the host"
    checkpoint_kill "$pid" image
    restore_detached image
    until_true 10 eval '[[ $(ask get key50 2> /dev/null) == 50 ]]'
    ask set more 1 > /dev/null
    [[ -z $(ls data) ]] || fail "it writes into the directory of the host"
    has_line -a key50 < <(cat "/proc/$pid/root$PWD"/data/appendonlydir/*.aof*) || fail "its files are gone"
    gone "$pid"
fi

# Another directory in the place of what was mounted, and another root.
mkdir place one two
start log unshare --mount bash -c "mount --bind one place; exec bash -c 'n=0; while sleep 0.02; do echo \$((++n)) >> place/data; echo \$n; done'"
until_true 10 grep -q '^5$' log
checkpoint_kill "$pid" image
cp -a one/data two/
restore_detached image --external "$PWD/place=$PWD/two" --on-change accept
until_true 5 grows two/data
checkpoint_kill "$pid" image
[[ $(stat -c %s two/data) -gt $(stat -c %s one/data) ]] || fail "it writes into the first directory"
expect_exit 3 restore --detach --external "$PWD/place=/nowhere" < image
grep -q "/nowhere" stderr || fail "$(cat stderr)"
nothing_left "a directory that is not there"

# A directory of programs as root, which restore may be given another one for.
if type -p busybox > /dev/null && [[ $(ldd "$(type -p busybox)" 2>&1) == *"not a dynamic"* ]]; then
    mkdir -p first/{bin,proc,old,data}
    cp "$(type -p busybox)" first/bin/
    for name in sh sleep; do ln -s busybox first/bin/$name; done
    start log unshare --mount bash -c 'mount --bind first first; mount -t proc proc first/proc; mount -t tmpfs memory first/data; cd first
        pivot_root . old; cd /; exec /bin/sh -c "/bin/busybox umount -l /old; n=0; while sleep 0.02; do n=\$((n+1)); echo \$n >> /data/log; echo \$n; done"'
    until_true 10 grep -q '^5$' log
    table() { cut -d' ' -f4- "/proc/$pid/mountinfo" | sort; }
    was=$(table)
    checkpoint_kill "$pid" image
    restore_detached image
    grows log || fail "it stands still"
    [[ $(table) == "$was" ]] || fail "it has other mounts: $(table)"
    checkpoint_kill "$pid" image
    cp -a first second
    restore_detached image --root "$PWD/second"
    grows "/proc/$pid/root/data/log" || fail "it stands still below another root"
    [[ $(stat -c %i second) == $(stat -Lc %i "/proc/$pid/root") ]] || fail "it has the first root"
    gone "$pid"
    nothing_left "a root of its own"
fi

# What is mounted there alone, and cannot be mounted again.
refuses() { # SENTENCE SETUP
    start log unshare --mount bash -c "$2; echo ready; exec sleep 1000"
    until_true 10 grep -Eq "ready|rror|mount:" log
    grep -q ready log || { echo "left out: $(cat log)"; return; }
    expect_exit 3 freeze --check "$pid"
    grep -q -- "$1" stderr || freeze --check "$pid" 2>&1 | has_line -- "$1" || fail "it does not say \"$1\": $(cat stderr)"
    expect_exit 3 checkpoint.sh "$pid" -o never --kill
    grep -q -- "$1" stderr || fail "it does not say \"$1\": $(cat stderr)"
    gone "$pid"
}
mkdir there
truncate -s 8M disk
if type -p mkfs.ext4 > /dev/null && mkfs.ext4 -q disk; then
    refuses "mount $PWD/there (ext4): its file system is mounted nowhere else" "mount -o loop disk there"
fi
refuses "mount $PWD/there (tmpfs): what it shows was removed" "mkdir -p one/removed; mount -t tmpfs x one; mkdir one/removed; mount --bind one/removed there; rmdir one/removed"

# Killed at any moment, or failed, restore leaves no mount, no file system and no process.
start log unshare --mount bash -c 'mount -t tmpfs big place; head -c 20M /dev/urandom > place/big; exec 5< place/big; echo ready; exec sleep 1000'
until_true 10 grep -q ready log
checkpoint_kill "$pid" image
dirs=$(ls -A)
for ms in 1 2 4 8 12 16 24 32 48 64; do
    restore --detach < image 2> /dev/null & restore=$!
    sleep "0.0$(printf %02d "$ms")"
    kill -9 "$restore" 2> /dev/null || true
    wait "$restore" 2> /dev/null || true
    gone "$pid"
    nothing_left "restore was killed after $ms ms"
    [[ $(ls -A) == "$dirs" ]] || fail "files are left: $(ls -A)"
done
# Damage that shows at the end alone: all was made by then.
python3 -c 'import sys; b = bytearray(open("image", "rb").read()); b[len(b) // 2] ^= 1; open("damaged", "wb").write(b)'
expect_exit 4 restore --detach < damaged
all_gone "$pid"
nothing_left "a damaged image"
restore_detached image
sleeps() { [[ $(awk '/^State/ { print $2 }' "/proc/$pid/status") == S ]]; }
for victim in freeze dumpmnt dumpfs aufsfix dumpmem; do
    for ms in 2 5 10 20; do
        freeze "$pid" -- bash -o pipefail -c 'dumpmnt | dumpfs | aufsfix | dumpmem | imgpack -o never; sleep 0.1' 2> /dev/null &
        holder=$!
        sleep "0.0$(printf %02d "$ms")"
        pkill -9 -x "$victim" || true
        wait "$holder" 2> /dev/null || true
        until_true 5 sleeps || fail "$victim was killed after $ms ms: $(grep State "/proc/$pid/status")"
        nothing_left "$victim was killed"
    done
done
# In any order in which each finds what it needs.
freeze "$pid" -- bash -o pipefail -c 'dumpmem | dumpfs | dumpmnt | aufsfix | imgpack -o swapped'
freeze --then kill "$pid" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmnt | dumpmem | imgpack -o image'
until_true 5 test ! -e "/proc/$pid"
for image in swapped image; do
    restore_detached $image
    [[ $(stat -c %s "/proc/$pid/root$PWD/place/big") == $((20 << 20)) ]] || fail "$image: its file is gone"
    gone "$pid"
done
cat image | restore --detach
gone "$pid"
nothing_left "all"
