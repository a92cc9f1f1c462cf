# redis-server in a network namespace of its own, as engines make it: its interface is the end of a pair whose other end is a port of a
# bridge outside, and so is its client. Killed and restored twice, each time with a new other end; the connection goes on.
another_machine own_veth 10.79.0
for program in redis-server ip; do
    command -v "$program" > /dev/null || { echo "SKIPPED there is no $program"; exit 0; }
done
cat > client.py << 'END'
import socket, time
server = socket.create_connection(("10.80.0.2", 7000))
server.settimeout(300)
answers = server.makefile("rb")
while True:
    server.sendall(b"INCR n\r\n")
    print(answers.readline().decode().strip(), flush=True)
    time.sleep(0.02)
END
ip link add name host0 type bridge
ip addr add 10.80.0.1/24 dev host0
ip link set host0 up
cat > all.sh << 'END'
until ip link set eth0 up 2> /dev/null; do sleep 0.05; done
ip addr add 10.80.0.2/24 dev eth0
ip route add default via 10.80.0.1
exec redis-server --bind 10.80.0.2 --port 7000 --save '' --appendonly no --daemonize no --protected-mode no
END
start said unshare -n bash all.sh
ip link add name veth7 type veth peer name eth0 netns "$pid"
ip link set veth7 master host0
ip link set veth7 up
until_true 20 redis-cli -h 10.80.0.2 -p 7000 ping
python3 client.py > log 2>&1 & client=$!
until_true 10 grep -q 20 log
server=$pid
not_there() { ! ip link show veth7 > /dev/null 2>&1; }
gone() { ! ip link show "$1" > /dev/null 2>&1; }
before=$(nsenter -t "$server" -n ip -o link show eth0 | grep -o 'link/ether [^ ]*')
freeze --check "$server" > check
grep -q 'outside: .*interface eth0: its other end is outside of the tree' check || fail "$(cat check)"
for round in 1 2; do
    checkpoint_kill "$server" image
    until_true 10 not_there
    if ((round == 1)); then
        expect_exit 3 restore --detach < image
        grep -q 'interface eth0: its other end was outside of the tree (--veth eth0=NAME' stderr || fail "$(cat stderr)"
        expect_exit 3 restore --detach --veth eth0=new1@nowhere < image
        grep -q 'there is no nowhere' stderr || fail "$(cat stderr)"
        until_true 10 gone new1
    fi
    restore_detached image --veth "eth0=new$round@host0"
    [[ $(nsenter -t "$server" -n ip -o link show eth0 | grep -o 'link/ether [^ ]*') == "$before" ]] || fail "it has another address"
    ip -o link show "new$round" | has_line 'master host0' || fail "its other end is no port"
    # The client tries again less and less often.
    until_true 120 grows log || fail "it stands still after restore $round: $(tail -n 3 log)"
done
tr -d : < log | awk '$1 != ++n { exit 1 }' || fail "a number is lost or doubled: $(tail -n 3 log)"
kill "$client"

# What is in it is no matter of this checkpoint, and of its restore.
[[ -z $(freeze --check --empty net "$server" | grep eth0) ]] || fail "what is to be empty is looked at"
checkpoint.sh "$server" -o image --kill --empty net --tcp close
restore_detached image --fill 'ip link set lo up; ip addr add 10.80.0.2/32 dev lo'
[[ $(nsenter -t "$server" -n ip -o link show | wc -l) == 1 ]] || fail "it is not empty"
nsenter -t "$server" -n redis-cli -h 10.80.0.2 -p 7000 get n | has_line '[0-9]'
kill -9 "$server"
all_gone "$server"
