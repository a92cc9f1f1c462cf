# freeze --deny: what could be kept is refused by name, by --check and by freeze alike, and the program does not notice.
ip link set lo up 2> /dev/null || true
cat > server.py << 'SCRIPT'
import socket
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
unix = socket.socket(socket.AF_UNIX); unix.bind("server"); unix.listen()
open("port", "w").write(str(tcp.getsockname()[1]))
held = [tcp.accept(), unix.accept()]
while True: held[0][0].sendall(held[0][0].recv(100))
SCRIPT
start served python3 server.py
server=$pid
until_true 10 test -s port
cat > client.py << 'SCRIPT'
import os, pty, socket, sys
tcp = socket.create_connection(("127.0.0.1", int(open("port").read())))
unix = socket.socket(socket.AF_UNIX); unix.connect("server")
n = 0
while True:
    tcp.sendall(b"x"); tcp.recv(100)
    n += 1
    print(n, flush=True)
SCRIPT
cat > terminal.py << 'SCRIPT'
import os, pty, time
pid, master = pty.fork()
if pid == 0: os.execvp("python3", ["python3", "client.py"])
open("client", "w").write(str(pid))
log = open("log", "wb", buffering=0)
while True: log.write(os.read(master, 4096))
SCRIPT
start said python3 terminal.py
until_true 10 grep -qs 3 log
pid=$(cat client)
refuses() { # WHAT SENTENCE
    expect_exit 3 freeze --check --deny "$1" "$pid"
    grep -q "^freeze: pid $pid: .*$2 (it is refused by --deny $1)" stderr || fail "$1: $(cat stderr)"
    cp stderr before
    expect_exit 3 freeze --deny "$1" "$pid" -- true
    cmp stderr before || fail "freeze says something else: $(cat stderr)"
    grows log || fail 'it stands still'
}
refuses connections 'fd [0-9]*: it is an established TCP connection'
refuses outside-sockets 'fd [0-9]*: a socket whose other end is outside of the tree'
refuses outside-terminals 'a terminal'
expect_exit 0 freeze --check "$pid"
expect_exit 2 freeze --check --deny everything "$pid"
kill -9 "$pid" "$server"
