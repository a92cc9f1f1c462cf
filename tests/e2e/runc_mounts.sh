# What engines add to a container of runc: volumes, files of the host, limits, hooks that fill its network, a pause before the
# checkpoint. What was bound comes back from where the configuration says then.
. "$dir/containers.sh"
mkdir -p volume other readonly
echo host > hosts
echo one > readonly/file
cat > hook << 'SCRIPT'
#!/bin/sh
# The state of the container is our input.
pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/')
echo "$1 $pid" >> WHERE/hooked
nsenter -t "$pid" -n ip link set lo up
SCRIPT
sed -i "s|WHERE|$PWD|" hook
chmod +x hook
bundle sh -c 'cd /volume; exec 7>> data; n=0; while read -r line; do n=$((n + 1)); echo "$n" >&7; echo "got $line"; done' << 'SCRIPT'
import os
here = os.getcwd()
def bind(to, source, *options):
    config["mounts"].append({"destination": to, "type": "bind", "source": here + "/" + source, "options": ["rbind", *options]})
bind("/volume", "volume", "rw")
bind("/readonly", "readonly", "ro")
bind("/etc/hosts", "hosts", "rw")
config["linux"]["resources"] = {"pids": {"limit": 77}, "memory": {"limit": 256 << 20}}
config["hooks"] = {"prestart": [{"path": here + "/hook", "args": ["hook", "prestart"]}]}
config["root"]["readonly"] = False
config["annotations"] = {"org.criu.config": here + "/criu.conf"}
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
limit() { cat "$(awk -F: '$2 ~ /pids/ || $1 == 0 { print $3 }' "/proc/$pid/cgroup" | while read -r path; do
    ls -d /sys/fs/cgroup/pids"$path"/pids.max /sys/fs/cgroup"$path"/pids.max 2> /dev/null; done | head -n 1)"; }
[[ $(limit) == 77 ]] || fail "the limit is $(limit)"
(($(wc -l < hooked) == 1)) || fail "$(cat hooked)"
cgroups=$(cat "/proc/$pid/cgroup")
checkpoint_box
restore_box
runs || fail "it stands still: $(cat work/restore.log)"
(($(wc -l < hooked) == 2)) && [[ $(tail -n 1 hooked) == "prestart $pid" ]] || fail "the hook was not run for $pid: $(cat hooked)"
box exec "$id" ls /sys/class/net > /dev/null || true
nsenter -t "$pid" -n ip -o link show lo | has_line UP || fail 'lo is down'
[[ $(cat "/proc/$pid/cgroup") == "$cgroups" ]] || fail "it is in other cgroups: $(cat "/proc/$pid/cgroup")"
[[ $(limit) == 77 ]] || fail "the limit is $(limit)"
[[ $(box exec "$id" cat /etc/hosts) == host && $(box exec "$id" cat /readonly/file) == one ]] || fail 'files of the host'
box exec "$id" sh -c 'echo x > /readonly/file' 2> /dev/null && fail 'it can be written to'
box exec "$id" sh -c 'echo new > /etc/hosts' && [[ $(cat hosts) == new ]] || fail 'it cannot be written to'
awk '$1 != ++n { exit 1 }' volume/data || fail "$(cat volume/data)"

# A paused container: it stays so, and comes back running. Of cgroups of version 1 nobody can tell in a pid namespace of a test
# whether anything else is paused with it.
box pause "$id"
if ! box checkpoint --leave-running --image-path "$PWD/images" --work-path "$PWD/work" "$id" > said 2>&1; then
    grep -q 'what else would be thawed is not seen from this pid namespace' work/dump.log || { box resume "$id"; fail "$(cat work/dump.log)"; }
    [[ $(status_of_box) == paused ]] || fail "$(status_of_box)"
    box resume "$id"
    checkpoint_box --leave-running
else
    [[ $(status_of_box) == paused ]] || fail "$(status_of_box)"
    box resume "$id"
fi
before=$(wc -l < volume/data)
runs || fail 'it stands still behind the pause'
box kill "$id" KILL
until_true 10 test ! -e "/proc/$pid"
delete_box
# The volume of then, in another place.
head -n "$before" volume/data > other/data
sed -i "s|$PWD/volume\"|$PWD/other\"|" bundle/config.json
if box restore -d --bundle "$PWD/bundle" --image-path "$PWD/images" --work-path "$PWD/work" "$id" < /dev/null > said 2>&1; then
    fail 'a file has changed, and nobody has said so'
fi
grep -q 'Error (floe): .*/volume/data: its content was changed since' work/restore.log || fail "$(cat said work/restore.log)"
echo "on-change accept:/volume/**" > criu.conf
restore_box
[[ $(status_of_box) == running ]] || fail "$(status_of_box)"
runs || fail "it stands still: $(cat work/restore.log)"
until_true 10 eval '(($(wc -l < other/data) > before))'
awk '$1 != ++n { exit 1 }' other/data || fail "$(cat other/data)"
delete_box
