# Trees that unshare(1), bwrap(1) and chroot(1) have put into namespaces, captured from the host without any engine: killed,
# restored in new namespaces, and the same once more.
need() { type -p "$1" > /dev/null || { echo "SKIPPED there is no $1"; exit 0; }; }
need redis-server
need bwrap
need busybox
inside() { pgrep -P "$1" > /dev/null && pgrep -P "$1"; }
twice() { # LOG RESTORE-OPTION…: the tree of $pid, through two generations
    two_generations "$1" true "${@:2}"
    kill -9 "$pid"
}

# A server and a client, with all namespaces but that of users of their own.
cat > client.py <<'P'
import socket, time, os
while not os.path.exists("socket"): time.sleep(0.05)
s = socket.socket(socket.AF_UNIX)
s.connect("socket")
n = 0
while True:
    n += 1
    s.sendall(b"INCR x\r\n")
    assert s.recv(100) == b":%d\r\n" % n
    print(n, flush=True)
    time.sleep(0.02)
P
setsid unshare -fpmiun --mount-proc bash -c 'redis-server --port 0 --unixsocket socket --save "" > /dev/null 2>&1 &
    python3 client.py > log 2>&1 & wait' < /dev/null > /dev/null 2>&1 & outer=$!
until_true 20 grep -qs 20 log
pid=$(inside "$outer")
twice log

# What knows its own /tmp and /proc.
cat > worker.py <<'P'
import os, time
os.makedirs("/tmp/own/dir")
ids, content = os.getresuid(), os.urandom(300000)
with open("/tmp/own/dir/file", "wb") as file: file.write(content)
kept = open("/tmp/own/dir/file", "rb")
n = 0
while True:
    assert os.readlink("/proc/self") == str(os.getpid()) and os.getresuid() == ids
    kept.seek(0)
    assert kept.read() == content and open("/tmp/own/dir/file", "rb").read() == content
    n += 1
    print(n, flush=True)
    time.sleep(0.02)
P
chmod 777 .
common=(--unshare-pid --unshare-ipc --unshare-uts --proc /proc --tmpfs /tmp --bind "$PWD" "$PWD" python3 "$PWD/worker.py")
: > log2
setsid bwrap --ro-bind / / --dev /dev "${common[@]}" < /dev/null > log2 2>&1 & outer=$!
until_true 10 grep -q '^20$' log2 || fail "$(cat log2)"
pid=$(inside "$outer")
twice log2
# Of an ordinary user, in a user namespace of its own.
: > log3
chmod 666 log3
setsid setpriv --reuid 65534 --regid 65534 --clear-groups bwrap --unshare-user --dev-bind / / "${common[@]}" \
    < /dev/null > log3 2>&1 & outer=$!
until_true 10 grep -q '^20$' log3 || fail "$(cat log3)"
pid=$(inside "$outer")
[[ $(readlink "/proc/$pid/ns/user") != "$(readlink /proc/self/ns/user)" ]] || fail "it has no user namespace of its own"
twice log3

# A root of its own, of a few files. Another one takes its place as the user says.
mkdir -p root/{bin,tmp,proc,dev,root}
cp "$(type -p busybox)" root/bin
for name in sh sleep cat; do ln -s busybox "root/bin/$name"; done
mknod root/dev/null c 1 3
counter='exec > /root/log 2>&1 < /dev/null; echo hi > /tmp/file
    while sleep 0.03; do [ "$(cat /tmp/file)" = hi ] || exit; n=$((n+1)); echo $n; done'
setsid unshare -fpmiu chroot root /bin/busybox sh -c "/bin/busybox mount -t proc proc /proc; $counter" < /dev/null > /dev/null 2>&1 & outer=$!
until_true 10 grep -qs '^20$' root/root/log
pid=$(inside "$outer")
twice root/root/log
rm root/root/log
setsid bwrap --unshare-pid --unshare-uts --bind root / --proc /proc --dev /dev --tmpfs /tmp /bin/sh -c "$counter" < /dev/null > /dev/null 2>&1 & outer=$!
until_true 10 grep -qs '^20$' root/root/log
pid=$(inside "$outer")
rm -f image
checkpoint.sh "$pid" -o image --kill
cp -a root other
echo more >> root/root/log
restore_detached image --pidfile pid --external "/=$PWD/other"
pid=$(cat pid)
grows other/root/log || fail "it does not go on in the other root"
tail -n 1 root/root/log | has_line more || fail "it writes where it was"
# The second generation, which belongs there. Files that changed are refused by name, and taken as the user says.
rm image
checkpoint.sh "$pid" -o image --kill
echo more >> other/root/log
expect_exit 3 restore --detach --external "/=$PWD/other" < image
has_line 'unable to open /root/log' < stderr
restore_detached image --pidfile pid --external "/=$PWD/other" --on-change append:/root/log
grows other/root/log || fail "it does not go on in the other root"
kill -9 "$(cat pid)"

# A pid namespace in that of the tree, and the tree in it, taken by itself.
rm image
setsid unshare -fp --mount-proc bash -c 'unshare -fp --mount-proc bash -c "while sleep 0.03; do echo \$((++n)); done" > nested & wait' < /dev/null > /dev/null 2>&1 & outer=$!
until_true 10 grep -qs '^20$' nested
pid=$(inside "$outer")
checkpoint.sh "$pid" -o image --kill || fail "checkpoint of both: exit $?"
restore_detached image --pidfile pid
around=$(cat pid)
grows nested || fail "it stands still"
pid=$(inside "$(pgrep -P "$around")")
twice nested
kill -9 "$around" 2> /dev/null || true
