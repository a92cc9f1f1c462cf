# Migration between two hosts, which are mount and network namespaces here (the other one with pids of its own): a tree runs in
# one of them in the end, whatever dies on the way, and a client of it keeps its connection.
type -p nft > /dev/null || { echo "SKIPPED there is no nft(8) to look at the packet filter with"; exit 0; }
. "$dir/hosts.sh"
host; world=$new
in_world() { nsenter -t "$world" -n "$@"; }
start_here() {
    : > log
    in_here setsid bash -c 'echo $$ > pid; exec > log 2>&1 < /dev/null; while sleep 0.02; do echo $((++n)); done' &
    until_true 10 test -s log
    pid=$(cat pid)
}
let_go() { kill -CONT "$pid"; pkill -CONT -P "$pid" || true; }
in_order() { awk '$1 != ++n { exit 1 }' log || fail "a number is lost or doubled after $1: $(cat log)"; }
runs_here() { # WHAT
    grows log || fail "it does not run behind $1"
    not_running "$pid" && fail "it stands still here behind $1"
    until_true 5 eval "! is_there" || fail "it runs in both behind $1: $(in_there ps -e -o pid,ppid,args)"
    in_order "$1"
}

# It moves.
start_here
migrate || fail "exit $?"
[[ ! -e /proc/$pid ]] || not_running "$pid" || fail "it runs here as well"
is_there || fail "it does not run there"
grows log || fail "it stands still there"
in_order "its move"
end_there

# Its memory goes ahead while it runs.
start_here
migrate --rounds 3 || fail "rounds: exit $?"
is_there || fail "rounds: it does not run there"
grows log || fail "rounds: it stands still there"
in_order "its move by rounds"
end_there
! compgen -G 'floe-????????' > /dev/null || fail "left there: $(ls)"
start_here
expect_exit 1 migrate --rounds 2 --move false
runs_here "a move by rounds that fails"
! compgen -G 'floe-????????' > /dev/null || fail "left there: $(ls)"
end_group "$pid"
until_true 5 eval '! pgrep -x floe-keeper'

# What is refused there, and a way that leads nowhere: it runs on here, and nothing stays there.
start_here
expect_exit 3 in_here migrate.sh "$pid" --by "nsenter -t $there -m -n -p" --to --join=mnt=here
has_line 'join net=here' < stderr
runs_here "a refusal"
for way in false true no-such-command 'nsenter -t 999999 -m' 'head -c 1000'; do
    expect_exit 1 migrate --by "$way"
    runs_here "$way"
done
# Behind its completion there.
for hook in false 'kill -9 $PPID' 'pkill -9 -x freeze; sleep 0.2' 'pkill -9 -x restore; sleep 0.2'; do
    status=0
    migrate --move "$hook" --move-back 'echo back > back' 2> stderr || status=$?
    ((status)) || fail "it has moved behind $hook"
    runs_here "$hook"
    [[ $hook == *PPID* || $hook == *freeze* || -e back ]] || fail "nothing is moved back behind $hook"
    rm -f back
done
# The word that it may run there is lost, or the one that it does: it stands still here, and somebody must look.
expect_exit 6 migrate --by 'echo built; cat > /dev/null; :'
has_line 'stopped, since it may run elsewhere' < stderr
until_true 2 not_running "$pid" || fail "it runs here, and perhaps there"
let_go
runs_here "a lost go"
echo "nsenter -t $there -m -n -p \"\$@\" | grep --line-buffered built" > lossy
expect_exit 6 migrate --by "bash $PWD/lossy"
until_true 2 not_running "$pid" || fail "it runs in both"
is_there || fail "it runs nowhere"
kill -9 "$pid"
grows log || fail "it stands still there"
in_order "a lost receipt"
end_there

# kill -9 of each part at moments spread over its life.
moved=0 stayed=0 stopped=0
start_here
for victim in freeze dumpmnt dumpfs aufsfix dumpmem restore bash; do
    for ms in 5 15 30 45 60 80 100 130 160; do
        migrate 2> stderr & script=$!
        sleep "0.$(printf %03d "$ms")"
        case $victim in
            # That which holds the hand of freeze.
            bash) pkill -9 -f '^bash -c held' || true ;;
            *) pkill -9 -x "$victim" || true ;;
        esac
        status=0
        wait "$script" || status=$?
        what="kill -9 of $victim after $ms ms (exit $status: $(cat stderr))"
        sleep 0.1
        if [[ -e /proc/$pid ]] && ! not_running "$pid"; then
            ((++stayed, status > 0)) || fail "it runs here behind $what"
            runs_here "$what"
            continue
        fi
        if [[ -e /proc/$pid && $(awk '/^State/ { print $2 }' "/proc/$pid/status") == T ]]; then
            ((++stopped))
            if ! is_there; then
                let_go
                runs_here "$what"
                continue
            fi
            kill -9 "$pid"
        else
            ((++moved))
        fi
        is_there || fail "it runs nowhere behind $what"
        grows log || fail "it stands still there behind $what"
        in_order "$what"
        end_there
        start_here
    done
done
echo "moved $moved, stayed $stayed, stopped $stopped"
((moved > 5 && stayed > 5)) || fail "moved $moved, stayed $stayed, stopped $stopped"
kill -9 "$pid"

# A server with an address that moves along, memory, and a client in the world.
in_world ip link add net type bridge
in_world ip addr add 10.79.0.254/24 dev net
in_world ip link set net up
for host in "$here" "$there"; do
    in_world ip link add "to$host" type veth peer name eth netns "$host"
    in_world ip link set "to$host" master net up
    nsenter -t "$host" -n ip link set eth up
    nsenter -t "$host" -n ip link set lo up
done
in_here ip addr add 10.79.0.1/24 dev eth
# There it is an address that nobody is led to yet.
in_there sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore'
in_there ip addr add 10.79.0.1/32 dev lo
in_there ip route add 10.79.0.0/24 dev eth src 10.79.0.1
cat > server.py <<'P'
import hashlib, os, socket
data = os.urandom(32 << 20)
digest = hashlib.sha256(data).digest()
listener = socket.create_server(("10.79.0.1", 7000))
print("ready", flush=True)
peer = listener.accept()[0]
count = 0
while some := peer.recv(65536):
    count += len(some)
    if hashlib.sha256(data).digest() != digest: some = b"memory differs"
    peer.sendall(some)
peer.sendall(b"%d" % count)
P
cat > client.py <<'P'
import os, socket, time
s = socket.create_connection(("10.79.0.1", 7000))
s.settimeout(60)
turn = 0
while not os.path.exists("end"):
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
    time.sleep(0.01)
s.shutdown(socket.SHUT_WR)
assert int(s.recv(100)) == turn * 3000
print("done", flush=True)
P
in_here setsid bash -c 'echo $$ > pid; exec python3 server.py' > log 2>&1 < /dev/null &
until_true 10 grep -qs ready log
pid=$(cat pid)
in_world python3 client.py > client 2>&1 & client=$!
until_true 10 grep -q '^20$' client
enter=$(type -p nsenter)
move="$enter -t $here -n ip addr del 10.79.0.1/24 dev eth && $enter -t $there -n ip addr add 10.79.0.1/24 dev eth &&
    $enter -t $there -n ip addr del 10.79.0.1/32 dev lo && $enter -t $world -n ip neigh flush dev net"
# First in vain.
expect_exit 1 migrate --move false
grows client || fail "the client waits: $(cat client)"
migrate --move "$move" || fail "exit $?"
is_there || fail "it does not run there"
grows client || fail "the client waits: $(cat client)"
grows client || fail "the client waits: $(cat client)"
[[ ! -e /proc/$pid ]] || not_running "$pid" || fail "it runs here as well"
# No rule is left on either side.
for host in here there; do
    until_true 5 eval '[[ -z $(in_$host nft list tables) ]]' || fail "$host: $(in_$host nft list ruleset)"
done
touch end
wait "$client" || fail "$(cat client)"
has_line done < client
kill -9 "$here" "$there" "$world"
