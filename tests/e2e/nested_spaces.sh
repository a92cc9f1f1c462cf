# User, network, IPC, UTS, mount and cgroup namespaces in a tree and in each other: of bwrap(1) and unshare(1), through two generations.
need() { type -p "$1" > /dev/null || { echo "SKIPPED there is no $1"; exit 0; }; }
need bwrap
chmod 777 .
user="setpriv --reuid 65534 --regid 65534 --clear-groups"
cat > worker.py <<'P'
import os, pathlib, socket, sys, threading, time
ids = os.getresuid(), os.getresgid(), open("/proc/self/uid_map").read(), os.uname().nodename
held = os.open("/proc/self/ns/user", os.O_RDONLY)
own = os.pidfd_open(os.getpid())
server = socket.socket(socket.AF_UNIX)
server.bind("\0floe-worker")
server.listen()
ticks = [0]
def tick():
    while True:
        ticks[0] += 1
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
n = 0
while True:
    before = ticks[0]
    client = socket.socket(socket.AF_UNIX)
    client.connect("\0floe-worker")
    server.accept()
    assert ids == (os.getresuid(), os.getresgid(), open("/proc/self/uid_map").read(), os.uname().nodename)
    assert os.path.samestat(os.fstat(held), os.stat("/proc/self/ns/user"))
    while ticks[0] == before: time.sleep(0.01)
    n += 1
    print(n, flush=True)
    time.sleep(0.02)
P
spaces() { readlink /proc/"$1"/ns/{user,net,ipc,uts,mnt,cgroup}; }
last() { # PID: the last of its first children
    local child
    child=$(pgrep -P "$1" | head -n 1) || true
    if [[ -n $child ]]; then last "$child"; else echo "$1"; fi
}
look() { # INNER
    local differ
    differ=$(comm -13 <(spaces "$pid" | sort) <(spaces "$(last "$pid")" | sort) | wc -l)
    [[ $differ == "$1" ]] || fail "$differ namespaces of $(last "$pid") are others: $(spaces "$pid") $(spaces "$(last "$pid")")"
}
twice() { # LOG INNER: the tree of $pid, through two generations; INNER namespaces of its last process are not those of the root
    until_true 10 grep -q '^20$' "$1" || fail "$(cat "$1")"
    two_generations "$1" "look $2"
    kill -9 "$(last "$pid")" "$pid" 2> /dev/null || true
}
run() { # LOG COMMAND…: sets outer
    : > "$1"
    chmod 666 "$1"
    setsid "${@:2}" < /dev/null > "$1" 2>&1 251>&- & outer=$!
    until_true 10 grep -q '^5$' "$1" || fail "$(cat "$1")"
}
# The root of a tree in a user namespace of its own, and not the init of a pid namespace.
run log1 unshare --map-root-user --net --ipc --uts python3 worker.py
pid=$outer
twice log1 0
# A user namespace in one that nobody is in: bwrap(1) needs that for devices.
run log2 $user bwrap --unshare-user --unshare-pid --unshare-ipc --unshare-net --unshare-uts --bind / / --dev /dev --proc /proc --bind "$PWD" "$PWD" python3 "$PWD/worker.py"
pid=$(pgrep -P "$outer")
twice log2 0
# Below a shell that is in none.
run log3 bash -c "$user bwrap --unshare-user --unshare-ipc --unshare-net --unshare-uts --dev-bind / / python3 worker.py; true"
pid=$outer
twice log3 5
# In each other.
cat > nest.sh <<'S'
exec 2>&1
hostname outer
unshare --net --ipc --uts --cgroup --mount --user --map-root-user bash -c 'hostname inner; python3 worker.py; true'
true
S
# unshare(1) has something to say when its child is killed.
run log4 bash -c 'exec unshare --fork --pid --mount-proc --net --ipc --uts --cgroup --user --map-root-user bash nest.sh 2> said'
pid=$(pgrep -P "$outer")
twice log4 6
