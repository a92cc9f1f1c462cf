# A container of runc in a network namespace of somebody else, with a connection to a server there: refused unless runc is told to keep
# it, and goes on behind its restore into the same namespace.
. "$dir/containers.sh"
unshare -n sleep infinity & keeper=$!
until_true 10 eval 'new=$(readlink /proc/$keeper/ns/net) && [[ $new != $(readlink /proc/self/ns/net) ]]'
nsenter -t "$keeper" -n ip link set lo up
cat > server.py << 'SCRIPT'
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 4711))
listener.listen()
while True:
    connection, _ = listener.accept()
    for line in connection.makefile("rw"):
        connection.sendall(b"got " + line.encode())
    print("end", flush=True)
SCRIPT
nsenter -t "$keeper" -n python3 server.py > served 3>&- 251>&- &
until_true 10 eval 'nsenter -t $keeper -n ss -ltn | has_line 4711'
bundle nc 127.0.0.1 4711 << SCRIPT
config["annotations"] = {"org.criu.config": "$PWD/criu.conf"}
for namespace in config["linux"]["namespaces"]:
    if namespace["type"] == "network": namespace["path"] = "/proc/$keeper/ns/net"
SCRIPT
ln -sf busybox bundle/rootfs/bin/nc
start_box
runs || fail "it does not answer: $(cat out)"
if box checkpoint --image-path "$PWD/images" --work-path "$PWD/work" "$id" > said 2>&1; then fail 'a connection was not refused'; fi
grep -q 'Error (floe): .*it is an established TCP connection' work/dump.log || fail "$(cat work/dump.log)"
runs || fail 'it was refused, and stands still'
for round in 1 2; do
    checkpoint_box --tcp-established
    restore_box --tcp-established
    [[ $(readlink "/proc/$pid/ns/net") == "$(readlink "/proc/$keeper/ns/net")" ]] || fail 'it is in another network namespace'
    runs || fail "the connection is gone in round $round: $(cat work/restore.log)"
done
[[ ! -s served ]] || fail "the server has seen an end: $(cat served)"
# Closed when it comes back, as the configuration says.
echo tcp-close > criu.conf
checkpoint_box
until_true 10 grep -q end served
kill "$keeper"
