# A connection comes when the tree has been looked at and stands still already. It passes as soon as the server runs: freeze lets it
# accept the connection, and stops it once more.
cat > server.py <<'SCRIPT'
import os, socket
# Many that take time to be read: the connection comes before its turn.
more = [socket.socketpair() for _ in range(300)]
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
print("listening", flush=True)
while True:
    listener.accept()[0].close()
    print("accepted", flush=True)
SCRIPT
cat > client.py <<'SCRIPT'
import os, socket, sys
def state():
    with open(f"/proc/{sys.argv[1]}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
print("watching", flush=True)
stops = 0
while True:
    while state() != "t": pass
    stops += 1
    if stops == 1:
        # Nobody accepts it before the server runs.
        client = socket.socket(socket.AF_UNIX)
        client.connect("socket")
        assert state() == "t", "too late"
    print("stop", stops, flush=True)
    while state() == "t": pass
SCRIPT
start log python3 server.py
until_true 5 grep -q listening log
python3 client.py "$pid" > stops & client=$!
until_true 5 grep -q watching stops
checkpoint.sh "$pid" -o image --leave-running || fail "exit $?"
grep -qx accepted log || fail "the server did not run in between: $(cat log stops)"
grep -qx "stop 2" stops || fail "it was not stopped again: $(cat stops)"
kill "$client"
checkpoint_kill "$pid" image
restore_detached image
kill -9 "$pid"
