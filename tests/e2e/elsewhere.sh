# A tree of another mount or network namespace does not write into files of the same path here, and does not listen here.
ip link set lo up 2> /dev/null || true
mkdir place private
echo host > place/data
cat > program.py << 'SCRIPT'
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 4711)); s.listen()
f = open("place/data", "w")
n = 0
while True:
    n += 1
    f.write(f"{n}\n"); f.flush()
    time.sleep(0.02)
SCRIPT
ends() { kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"; }
refuses() { # SENTENCE OPTIONS…
    local sentence=$1; shift
    expect_exit 3 restore --detach "$@" < image
    grep -q -- "$sentence" stderr || fail "it does not say \"$sentence\": $(cat stderr)"
    [[ $(cat place/data) == host ]] || fail "the file of the host was written to"
    [[ ! -e /proc/$pid ]] || fail "it was restored"
}

# A mount namespace of its own, in which the path leads elsewhere.
unshare --mount --propagation private bash -c 'mount --bind private place; exec sleep 1000' &
keeper=$!
until_true 10 nsenter -t "$keeper" -m mountpoint -q "$PWD/place"
start log nsenter -t "$keeper" -m bash -c "cd $PWD; exec python3 program.py"
until_true 10 grep -sq '^3$' private/data
expect_exit 0 freeze --check "$pid"
# Without dumpmnt nobody knows what was mounted there.
undescribed() {
    freeze --then kill "$pid" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o image' || fail "checkpoint: exit $?"
    until_true 5 test ! -e "/proc/$pid"
}
undescribed
refuses "mnt namespace: restore is in another one, with something else at $PWD/place"
refuses "data: another file has that name by now" --join mnt=here
# Inside of it, into it by name, and in one that is like it.
nsenter -t "$keeper" -m restore --detach < image
until_true 10 grows private/data
undescribed
restore --detach --join "mnt=/proc/$keeper/ns/mnt" < image
until_true 10 grows private/data
[[ $(readlink "/proc/$pid/ns/mnt") == "$(readlink "/proc/$keeper/ns/mnt")" ]] || fail "it is elsewhere"
undescribed
kill "$keeper"; wait "$keeper" 2> /dev/null || true
refuses "mnt namespace: restore is in another one"
unshare --mount --propagation private bash -c 'mount --bind private place; exec restore --detach' < image
until_true 10 grows private/data
# With it, it is made again; but where restore is told or started where the tree belongs.
checkpoint_kill "$pid" image
restore --detach < image
until_true 10 grows private/data
[[ $(readlink "/proc/$pid/ns/mnt") != "$(readlink /proc/self/ns/mnt)" ]] || fail "it is in our namespace"
[[ $(cat place/data) == host ]] || fail "the file of the host was written to"
checkpoint_kill "$pid" image
refuses "data: another file has that name by now" --join mnt=here
undescribed_again() { restore --detach < image; undescribed; }
undescribed_again
# Below a directory that the user names. Each process then has that as its root.
expect_exit 3 restore --detach --root / < image
refuses "unable to open $PWD: " --root "$PWD/private"

# A network namespace: freeze is started inside, restore outside.
unshare --net sleep 1000 & keeper=$!
is_apart() { [[ $(readlink /proc/self/ns/net) != "$(readlink "/proc/$keeper/ns/net")" ]]; }
until_true 10 is_apart
nsenter -t "$keeper" -n ip link set lo up
start log nsenter -t "$keeper" -n --wd="$PWD/private" bash -c 'mkdir -p place; exec python3 ../program.py'
until_true 10 grep -sq '^3$' private/place/data
listens() { python3 -c 'import socket; socket.create_connection(("127.0.0.1", 4711))' 2> /dev/null; }
listens && fail "it listens outside"
nsenter -t "$keeper" -n freeze --then kill "$pid" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o image'
until_true 5 test ! -e "/proc/$pid"
refuses "net namespace: restore is in another one"
listens && fail "it listens outside"
expect_exit 1 restore --detach --join net=/nowhere < image
restore --detach --join "net=/proc/$keeper/ns/net" < image
[[ $(readlink "/proc/$pid/ns/net") == "$(readlink "/proc/$keeper/ns/net")" ]] || fail "it is elsewhere"
listens && fail "it listens outside"
nsenter -t "$keeper" -n bash -c 'exec 3<> /dev/tcp/127.0.0.1/4711' || fail "it does not listen inside"
nsenter -t "$keeper" -n freeze --then kill "$pid" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o image'
until_true 5 test ! -e "/proc/$pid"
restore --detach --join net=here < image
listens || fail "it does not listen here, where it was told to"
ends
