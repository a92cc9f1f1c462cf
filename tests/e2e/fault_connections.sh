# Connections to peers outside. restore is killed at each of its last calls, and so is freeze when it kills the tree: either nothing of
# the tree is left and the image can be restored, or the tree lives and its peers notice nothing but a pause.
type -p nft > /dev/null || { echo "SKIPPED there is no nft(8) to look at the packet filter with"; exit 0; }
another_machine fault_connections 10.78.0
cat > server.py <<'P'
import socket, threading
def serve(s):
    while data := s.recv(65536): s.sendall(data)
l = socket.create_server(("10.78.0.1", 7000))
print("ready", flush=True)
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
P
cat > client.py <<'P'
import os, socket, time
s = socket.create_connection(("10.78.0.1", 7000))
s.settimeout(60)
turn = 0
while True:
    data = os.urandom(3000)
    s.sendall(data)
    back = b""
    while len(back) < len(data):
        more = s.recv(65536)
        assert more, "it ended"
        back += more
    assert back == data, "bytes differ"
    turn += 1
    print(turn, flush=True)
P
start log python3 server.py
server=$pid
until_true 10 grep -q ready log
for n in {1..4}; do away python3 client.py > "client$n" 2>&1 & done
all_go_on() { # WHEN
    local n
    for n in {1..4}; do grows "client$n" || grows "client$n" || grows "client$n" || fail "$1: client $n stands still: $(tail -n 3 "client$n") $(nft list ruleset)"; done
}
all_go_on "before"
# fault CALL [N]: restores, killed at the N-th CALL where one is given.
fault() {
    strace -q -o trace -e trace="$1" ${2:+-e inject="$1:signal=SIGKILL:when=$2"} restore --detach < image 2> stderr || true
}
checkpoint_kill "$server" image
hits=0
for call in setsockopt sendto write ptrace; do
    fault "$call"
    calls=$(grep -c "^$call(" trace)
    all_go_on "restored"
    checkpoint_kill "$server" image
    for ((back = first; back < 14 && back < calls; back += stride)); do
        fault "$call" $((calls - back))
        ((hits += 1))
        # What it had made dies with it, or it had done everything.
        until_true 5 eval '[[ ! -e /proc/$server || -z $(nft list tables) ]]' || fail "$call, $back before the last: the tree lives behind $(nft list ruleset)"
        if [[ -e /proc/$server ]]; then
            all_go_on "killed at $call, $back before the last"
            checkpoint_kill "$server" image
        fi
        nft list tables | has_line floe- || fail "$call, $back before the last: the lock is gone"
    done
done
restore_detached image
all_go_on "restored"
calls=1
for call in setsockopt write sendto ptrace pidfd_send_signal wait4; do
    for ((back = first - stride; back < 10; back += stride)); do
        fault=()
        # The first time shows how many calls there are, which differs by some each time.
        if ((back >= 0)); then fault=(-e inject="$call:signal=SIGKILL:when=$((calls - back))"); fi
        if ((back >= calls)); then break; fi
        strace -q -o trace -e trace="$call" "${fault[@]}" \
            freeze "$server" --then kill -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o made' 2> stderr || true
        if ((back < 0)); then calls=$(grep -c "^$call(" trace); fi
        ((hits += 1))
        until_true 5 eval '[[ ! -e /proc/$server || -z $(nft list tables) ]]' || fail "freeze, $call, $back before the last: the tree lives behind $(nft list ruleset)"
        if [[ ! -e /proc/$server ]]; then
            wait "$server" 2> /dev/null || true
            nft list tables | has_line floe- || fail "freeze, $call, $back before the last: the lock is gone"
            # A child of freeze closes the connections in silence, a moment behind.
            until_true 5 eval 'restore.sh made --detach 2> stderr' || fail "freeze, $call, $back before the last: $(cat stderr)"
        fi
        all_go_on "freeze was killed at $call, $back before the last"
    done
done
((hits > 60 / stride)) || fail "only $hits calls were hit"
kill -9 "$server" "$there"
