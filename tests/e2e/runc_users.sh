# A container of runc in a user namespace: its root is nobody of the host, and comes back as that, as a child of runc.
. "$dir/containers.sh"
bundle sh -c 'n=0; while read -r line; do n=$((n + 1)); echo "got $line"; echo "$n" > /dev/shm/count; done' << 'SCRIPT'
config["linux"]["namespaces"].append({"type": "user"})
config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
SCRIPT
chown -R 100000:100000 bundle/rootfs
chmod 755 . bundle
start_box
runs || fail "it does not answer: $(cat out)"
checkpoint_box --leave-running
runs || fail 'it was left running, and stands still'
for round in 1 2; do
    checkpoint_box
    restore_box
    runs || fail "it stands still in round $round: $(cat work/restore.log)"
    [[ $(awk '/^Uid/ { print $2 }' "/proc/$pid/status") == 100000 ]] || fail "$(grep Uid "/proc/$pid/status")"
    [[ $(awk '{ print $1, $2, $3 }' "/proc/$pid/uid_map") == '0 100000 65536' ]] || fail "$(cat "/proc/$pid/uid_map")"
    [[ $(box exec "$id" ls -n /dev/shm/count | awk '{ print $3 }') == 0 ]] || fail "$(box exec "$id" ls -n /dev/shm)"
done
delete_box
