# A container of runc with a cgroup namespace, which sees its own cgroup as the root of each hierarchy.
. "$dir/containers.sh"
bundle sh -c 'while read -r line; do echo "got $line"; cat /proc/self/cgroup > /dev/shm/view; ls /sys/fs/cgroup > /dev/shm/mounts; done' << 'SCRIPT'
config["linux"]["namespaces"].append({"type": "cgroup"})
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
view() { box exec "$id" cat /dev/shm/view /dev/shm/mounts; }
before=$(view)
grep -q ':/$' <<< "$before" || fail "$before"
checkpoint_box --leave-running
runs || fail 'it was left running, and stands still'
for round in 1 2; do
    checkpoint_box
    restore_box
    runs || fail "it stands still in round $round: $(cat work/restore.log)"
    [[ $(view) == "$before" ]] || fail "it sees $(view)"
    [[ $(readlink "/proc/$pid/ns/cgroup") != "$(readlink /proc/self/ns/cgroup)" ]] || fail 'it has no cgroup namespace of its own'
done
delete_box
