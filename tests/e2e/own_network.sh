# redis-server and a client in a network namespace of their own, over a bridge, with a filter before the server: killed and restored
# twice with their connection, on the addresses that they had. In an empty namespace that a command fills it goes on too.
for program in redis-server ip nft; do
    command -v "$program" > /dev/null || { echo "SKIPPED there is no $program"; exit 0; }
done
cat > rules << 'END'
table inet guard {
    set clients { type ipv4_addr; elements = { 10.9.0.2 }; }
    chain in { type filter hook input priority 0; policy drop; iifname lo accept; ip saddr @clients tcp dport 7000 accept; icmpv6 type != 1 accept; }
}
END
cat > client.py << 'END'
import socket, time
server = socket.create_connection(("10.9.0.1", 7000))
answers = server.makefile("rb")
while True:
    server.sendall(b"INCR n\r\n")
    print(answers.readline().decode().strip(), flush=True)
    time.sleep(0.02)
END
cat > all.sh << 'END'
ip link set lo up
ip link add name br0 type bridge
for n in 1 2; do
    ip link add name "port$n" type veth peer name "end$n"
    ip link set "port$n" master br0
    ip link set "port$n" up
    ip link set "end$n" up
    ip addr add "10.9.0.$n/24" dev "end$n"
done
ip link set br0 up
ip route add default via 10.9.0.254 dev end1
echo 1234 > /proc/sys/net/core/somaxconn
nft -f rules
redis-server --bind 10.9.0.1 --port 7000 --save '' --appendonly no --daemonize no --protected-mode no > server.log 2>&1 &
until redis-cli -h 10.9.0.1 -p 7000 ping > /dev/null 2>&1; do sleep 0.05; done
exec python3 client.py > log 2>&1
END
set_up='ip -o addr show; ip route; nft list ruleset | grep -v "#"; cat /proc/sys/net/core/somaxconn; ip -o link show type bridge | cut -d " " -f 2-5'
start said unshare -n bash all.sh
until_true 20 grep -qs 20 log || fail "$(cat said server.log log)"
# What the kernel makes of link-local addresses comes in its own time.
settled() { [[ $(nsenter -t "$pid" -n ip -o -6 addr show | grep -vc tentative) == 6 ]]; }
until_true 20 settled || fail "$(nsenter -t "$pid" -n ip addr)"
before=$(nsenter -t "$pid" -n bash -c "$set_up")
for round in 1 2; do
    grows log || fail "it stands still before checkpoint $round"
    checkpoint_kill "$pid" image
    restore_detached image --on-change append
    grows log || fail "it stands still after restore $round: $(tail -n 3 log)"
    after=$(nsenter -t "$pid" -n bash -c "$set_up")
    [[ $after == "$before" ]] || fail "the network is another one: $(diff <(echo "$before") <(echo "$after"))"
    [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]] || fail "it is in our network"
    ! nsenter -t "$pid" -n nft list tables | grep floe || fail "a lock is left"
done
tr -d : < log | awk '$1 != ++n { exit 1 }' || fail "a number is lost or doubled: $(tail -n 3 log)"

checkpoint_kill "$pid" image
restore_detached image --on-change append --empty net --fill 'ip link set lo up; ip addr add 10.9.0.1/32 dev lo; ip addr add 10.9.0.2/32 dev lo'
grows log || fail "it stands still in another network: $(tail -n 3 log)"
[[ -z $(nsenter -t "$pid" -n nft list tables) ]] || fail "what it had is in a namespace that was to be empty"
tr -d : < log | awk '$1 != ++n { exit 1 }' || fail "a number is lost or doubled: $(tail -n 3 log)"
pids=$(processes image)
kill -9 $pids 2> /dev/null || true
all_gone $pids
expect_exit 1 restore --detach --empty net --fill 'exit 7' < image
all_gone $pids
