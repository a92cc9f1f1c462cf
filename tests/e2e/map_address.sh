# restore --map-address: sockets of a tree come back where their address is another one, a listener, a connection with both ends in the tree,
# and one whose peer has been told of the new address by other means (here its machine translates it).
type -p nft > /dev/null || { echo "SKIPPED there is no nft(8) to translate addresses with"; exit 0; }
another_machine map_address 10.83.0
cat > both.py <<'P'
import os, socket, threading, time
listener = socket.create_server(("10.83.0.1", 7000))
inner = socket.create_connection(("10.83.0.1", 7000))
other = listener.accept()[0]
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("10.83.0.1", 7001))
print("listens", flush=True)
outer = listener.accept()[0]
def echo():
    while data := outer.recv(100): outer.sendall(data)
threading.Thread(target=echo, daemon=True).start()
print("ready", flush=True)
while not os.path.exists("moved"): time.sleep(0.05)
for s in inner, other, listener, udp: s.settimeout(20)
for a, b in (inner, other), (other, inner):
    a.sendall(b"there")
    assert b.recv(10) == b"there"
print(*(s.getsockname()[0] for s in (listener, inner, other, outer, udp)), inner.getpeername()[0], outer.getpeername()[0], flush=True)
again = socket.create_connection(listener.getsockname())
listener.accept()[0].sendall(b"new")
assert again.recv(10) == b"new"
print("passed", flush=True)
P
cat > outside.py <<'P'
import socket, time
s = socket.create_connection(("10.83.0.1", 7000))
s.settimeout(60)
for turn in range(1000):
    s.sendall(b"%d" % turn)
    assert s.recv(100) == b"%d" % turn
    print(turn, flush=True)
    time.sleep(0.02)
P
start log python3 both.py
until_true 20 grep -q listens log
away python3 outside.py > outside 2>&1 &
until_true 20 grep -qx 5 outside
checkpoint_kill "$pid" image
ip addr del 10.83.0.1/24 dev near
ip addr add 10.83.0.9/24 dev near
away nft -f - << 'END'
table ip moved {
    chain out { type route hook output priority -150; ip daddr 10.83.0.1 ip daddr set 10.83.0.9; }
    chain in { type filter hook prerouting priority -150; ip saddr 10.83.0.9 ip saddr set 10.83.0.1; }
}
END
expect_exit 3 restore.sh image --detach
grep -q '10.83.0.1 port 7000' stderr || fail "the address is not named: $(cat stderr)"
expect_exit 2 restore.sh image --detach --map-address 10.83.0.1=fd00::1
[[ $(nft list tables | wc -l) == 1 ]] || fail "the lock is not there: $(nft list ruleset)"
restore_detached image --on-change append --map-address 10.83.0.1=10.83.0.9 --map-address 10.83.0.77=10.83.0.78 2> stderr
grep -q 'map-address 10.83.0.77=10.83.0.78: no socket' stderr || fail "$(cat stderr)"
no_table restore
touch moved
until_true 20 grep -Eq 'passed|Error' log
grep -qx '10.83.0.9 10.83.0.9 10.83.0.9 10.83.0.9 10.83.0.9 10.83.0.9 10.83.0.2' log || fail "other addresses: $(cat log)"
grep -q passed log || fail "$(cat log)"
kill "$there"
