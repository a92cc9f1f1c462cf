# covers: OutsideSocket
# UNIX sockets whose peers are outside of the tree: connected again by the name of the peer, or closed, each as it is named.
cat > server.py << 'SCRIPT'
import os, socket, sys, threading
name, log = sys.argv[1].replace("@", "\0"), open(sys.argv[2], "a")
kind = socket.SOCK_SEQPACKET if "packets" in name else socket.SOCK_STREAM
server = socket.socket(socket.AF_UNIX, kind); server.bind(name)
if "packets" in name: os.setgid(4242); os.setuid(4243)  # as whom its clients know it (SO_PEERCRED)
server.listen()
def serve(client):
    print("hello", file=log, flush=True)
    try:
        while data := client.recv(100): client.send(b"echo " + data)
    except OSError: pass
    print("bye", file=log, flush=True)
while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
SCRIPT
cat > client.py << 'SCRIPT'
import os, socket, stat, time
def connect(name, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind); sock.connect(name); sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1); return sock
socks = {"path": connect("path"), "packets": connect("\0packets", socket.SOCK_SEQPACKET), "closed": connect("closed")}
for sock in socks.values(): sock.settimeout(0.5)  # what was asked on the old connection gets no answer on the new one
assert all(sock.fileno() > 2 for sock in socks.values())
n = 0
while True:
    n += 1
    said = []
    for name, sock in socks.items():
        try:
            assert stat.S_ISSOCK(os.fstat(sock.fileno()).st_mode) and sock.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 1, name
            sock.send(b"%d" % n); time.sleep(0.05); said.append(sock.recv(100).decode() or "end")
        except OSError as error:
            said.append(type(error).__name__)
    print(n, *said, sep=",", flush=True)
SCRIPT
for name in path @packets closed; do
    python3 server.py "$name" "${name#@}.log" < /dev/null > "${name#@}.out" 2>&1 &
done
served() { [[ -S path && -S closed ]] && grep -q @packets /proc/net/unix; }
until_true 10 served || fail "$(cat ./*.out)"
start out python3 client.py
until_true 10 grep -q '^3,echo 3,echo 3,echo 3$' out || fail "$(cat out)"
freeze --check "$pid" > said
[[ $(grep -c "null, reconnect or broken" said) == 3 ]] || fail "$(cat said)"
checkpoint_kill "$pid" image
until_true 5 grep -q bye path.log

expect_exit 3 restore --detach < image
expect_exit 3 restore --detach --outside reconnect:path < image
restore_detached image --outside reconnect --outside broken:closed
until_true 10 grep -Eq '^([0-9]+),echo \1,echo \1,(end|BrokenPipeError)$' out || fail "$(tail -n 3 out)"
grep -Eq ',BrokenPipeError$' out || until_true 5 grep -Eq ',BrokenPipeError$' out || fail "$(tail -n 3 out)"
[[ $(grep -c hello path.log) == 2 && $(grep -c hello packets.log) == 2 && $(grep -c hello closed.log) == 1 ]] || fail "$(cat ./*.log)"

# What was asked of freeze counts, and where nobody listens any more nothing is made.
checkpoint.sh "$pid" -o image --kill --outside reconnect
until_true 5 test ! -e "/proc/$pid"
rm path
expect_exit 3 restore --detach < image
grep -q "connect a socket to path again" stderr || fail "$(cat stderr)"
[[ ! -e /proc/$pid ]] || fail "it was made"
restore_detached image --outside "broken:pa*"
until_true 10 grep -Eq '^([0-9]+),BrokenPipeError,echo \1,' out || fail "$(tail -n 3 out)"
kill -9 "$pid"
