# covers: TcpConnection
# Connections to peers outside of the tree, in another network namespace as on another machine: a server and a client are killed
# and come back, and their peers notice nothing but a pause. Whichever tool is killed, no rule stays in the packet filter but that
# of an image that has not been restored.
type -p nft > /dev/null || { echo "SKIPPED there is no nft(8) to look at the packet filter with"; exit 0; }
another_machine tcp_outside 10.77.0
ip -6 addr add fd77::1/64 dev near nodad
away ip -6 addr add fd77::2/64 dev far nodad
tables() { nft list tables; }

# Echoes what it gets with a number of bytes before it; ends when the peer ends, behind an answer that is as long as wished.
cat > server.py <<'P'
import socket, threading
def serve(s):
    with s:
        count = 0
        while data := s.recv(65536):
            count += len(data)
            s.sendall(data)
        open("ended", "w").close()
        while not __import__("os").path.exists("answer"):
            __import__("time").sleep(0.05)
        s.sendall(b"%d" % count)
listeners = [socket.create_server(("10.77.0.1", 7000)), socket.create_server(("fd77::1", 7000), family=socket.AF_INET6)]
def accept(l):
    while True:
        threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
threads = [threading.Thread(target=accept, args=(l,)) for l in listeners]
[t.start() for t in threads]
print("ready", flush=True)
P
# Sends random bytes and compares what comes back; says how far it has come.
cat > client.py <<'P'
import os, socket, sys, time
s = socket.create_connection((sys.argv[1], 7000))
s.settimeout(60)
size, turn = int(sys.argv[2]), 0
while not os.path.exists("end"):
    data = os.urandom(size)
    s.sendall(data)
    back = b""
    while len(back) < size:
        more = s.recv(65536)
        assert more, "it ended"
        back += more
    assert back == data, "bytes differ"
    turn += 1
    print(turn, flush=True)
    time.sleep(0.01)
s.shutdown(socket.SHUT_WR)
assert int(s.recv(100)) == turn * size
assert s.recv(1) == b""
print("done", flush=True)
P
start log python3 server.py
server=$pid
until_true 10 grep -q ready log
clients=(4 6 big)
away python3 client.py 10.77.0.1 100 > 4 2>&1 & c4=$!
away python3 client.py fd77::1 3000 > 6 2>&1 & c6=$!
away python3 client.py 10.77.0.1 60000 > big 2>&1 & cbig=$!
# A peer that has sent in vain waits twice as long each time, and so up to as long again as it has been kept waiting.
longer() { (($(stat -c %s "$1") > $2)); }
all_grow() {
    local c
    for c in "${clients[@]}"; do until_true 40 longer "$c" "$(stat -c %s "$c")" || fail "$1: client $c stands still: $(tail -5 "$c") $(nft list ruleset)"; done
}
all_grow "before"

# A checkpoint with --leave-running is a pause, and leaves nothing.
checkpoint.sh "$server" -o running --leave-running || fail "checkpoint: exit $?"
no_table "--leave-running"
all_grow "--leave-running"

# Killed: the lock stays, nobody is told of the end, and the clients wait.
for round in 1 2; do
    checkpoint_kill "$server" "image$round"
    [[ $(tables | wc -l) == 1 ]] || fail "the lock is not there: $(nft list ruleset)"
    [[ $(tables) =~ ^table\ inet\ floe-[0-9a-f]{16}$ ]] || fail "another table: $(tables)"
    sleep 1
    # Neither a restore that refuses nor one that is killed gives them up.
    ip addr del 10.77.0.1/24 dev near
    expect_exit 3 restore.sh "image$round" --detach
    grep -q '10.77.0.1 port 7000' stderr || fail "the address is not named: $(cat stderr)"
    ip addr add 10.77.0.1/24 dev near
    for ms in 5 10 20 30 40 50 60 80; do
        restore --detach < "image$round" & r=$!
        sleep "0.0$(printf %02d "$ms")"
        kill -9 "$r" 2> /dev/null || true
        wait "$r" 2> /dev/null || true
        # What it had made dies with it, or it had done everything.
        until_true 5 eval '[[ ! -e /proc/$server || -z $(tables) ]]' || fail "killed after $ms ms: the tree lives behind $(tables)"
        [[ ! -e /proc/$server ]] || break
        until_true 5 eval '! tables | has_line held' || fail "its own lock is left: $(tables)"
        tables | has_line floe- || fail "a restore that was killed after $ms ms has taken the lock away"
    done
    kill -0 "$server" 2> /dev/null || restore_detached "image$round"
    no_table "restore"
    all_grow "restore $round"
done

# Whatever tool is killed while the tree is held.
for victim in freeze dumpfs imgpack; do
    for ms in 01 05 10 20 40 80; do
        freeze "$server" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o never; sleep 0.1' 2> /dev/null &
        holder=$!
        sleep "0.0$ms"
        pkill -9 -x "$victim" || true
        wait "$holder" 2> /dev/null || true
        until_true 5 eval '[[ -z $(tables) ]]' || fail "$victim, killed after $ms ms, leaves $(tables)"
    done
    all_grow "$victim was killed"
done
freeze "$server" --then kill -- bash -c 'cat > /dev/null; kill -9 $PPID' 2> /dev/null || true
until_true 5 eval '[[ -z $(tables) ]]'
all_grow "freeze was killed before it killed"

# The ends of the clients come to a server that has not answered yet (CLOSE_WAIT), and its answers come to them (FIN_WAIT2).
touch end
until_true 20 test -e ended
sleep 1
checkpoint_kill "$server" image3
restore_detached image3
no_table "restore of half-closed connections"
touch answer
for c in "$c4" "$c6" "$cbig"; do wait "$c" || fail "a client: $(tail -n 3 "${clients[@]}")"; done
kill -9 "$server"

# The tree is the client.
cat > inside.py <<'P'
import os, socket, time
s = socket.create_connection(("10.77.0.2", 7001))
s.settimeout(60)
h = socket.create_connection(("10.77.0.2", 7001))
h.settimeout(60)
h.sendall(b"quest")
h.shutdown(socket.SHUT_WR)
print("ready", flush=True)
turn = 0
while not os.path.exists("stop"):
    data = os.urandom(1000)
    s.sendall(data)
    back = b""
    while len(back) < len(data): back += s.recv(65536)
    assert back == data
    turn += 1
    print(turn, flush=True)
    time.sleep(0.01)
late = b""
while len(late) < 9 and (more := h.recv(9)): late += more
assert late == b"questlate", late
print("done", flush=True)
P
cat > outside.py <<'P'
import os, socket, threading, time
l = socket.create_server(("10.77.0.2", 7001))
print("ready", flush=True)
def serve(s):
    while data := s.recv(65536): s.sendall(data)
    while not os.path.exists("stop"): time.sleep(0.05)
    s.sendall(b"late")
    s.close()
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
P
away python3 outside.py > outside 2>&1 &
until_true 10 grep -q ready outside
start inside python3 inside.py
until_true 10 grep -q '^5$' inside
checkpoint_kill "$pid" image4
sleep 0.5
restore_detached image4 --on-change append
no_table "restore of a client"
until_true 40 longer inside "$(stat -c %s inside)" || fail "the client stands still: $(tail -3 inside)"
touch stop
until_true 20 grep -q done inside || fail "$(cat inside)"
kill "$there"
