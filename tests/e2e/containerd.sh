# containerd with its shim and runc, on a hierarchy of cgroups of version 2, where a freezer tells of all that it holds: it pauses a container
# before it has it dumped. A container with an overlay as its root: a checkpoint as an image of containerd, from which it is restored twice.
type -p containerd ctr containerd-shim-runc-v2 runc > /dev/null || { echo 'SKIPPED there is no containerd'; exit 0; }
# Its cgroups and its devices are those of this mount namespace.
mount -t cgroup2 none /sys/fs/cgroup || { echo 'SKIPPED there are no cgroups of version 2'; exit 0; }
space=floe${PWD//[^A-Za-z0-9]/}
mkdir bin root state layer image
ln -s "$FLOE_TOOLS/criu-front" bin/criu
export PATH=$PWD/bin:$PATH
no_cgroups() {
    find "/sys/fs/cgroup/$space" -depth -type d -exec rmdir {} + 2> /dev/null
    [[ ! -e /sys/fs/cgroup/$space ]]
}
clean() {
    ct task kill -s KILL box > /dev/null 2>&1 || true
    until_true 5 eval 'ct task rm box > /dev/null 2>&1; ! ct task ls -q | has_line box' || true
    kill "$daemon" || true
    wait "$daemon" || true
    until_true 5 no_cgroups || true
    # It leaves what it has mounted for the snapshots.
    awk -v here="$PWD/" 'index($5, here) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l
}
cat > config.toml << CONFIG
version = 2
root = "$PWD/root"
state = "$PWD/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$PWD/socket"
[ttrpc]
address = "$PWD/socket.ttrpc"
CONFIG
containerd --config config.toml > containerd.log 2>&1 3>&- 8>&- 251>&- &
daemon=$!
trap clean EXIT
ct() { timeout -k 5 120 ctr -a "$PWD/socket" -n "$space" "$@"; }
until_true 60 test -S socket ||
    { echo "SKIPPED containerd does not start: $(tail -n 1 containerd.log)"; exit 0; }

# An image as `docker save` writes them, since no registry can be asked.
mkdir -p layer/{bin,proc,sys,dev,tmp,etc}
cp "$(type -p busybox)" layer/bin/
for applet in sh cat sleep; do ln -sf busybox "layer/bin/$applet"; done
tar -C layer -cf image/layer.tar .
python3 - << 'SCRIPT'
import hashlib, json
layer = hashlib.sha256(open("image/layer.tar", "rb").read()).hexdigest()
json.dump({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + layer]}}, open("image/config.json", "w"))
json.dump([{"Config": "config.json", "RepoTags": ["floe.test/box:1"], "Layers": ["layer.tar"]}], open("image/manifest.json", "w"))
SCRIPT
tar -C image -cf box.tar config.json manifest.json layer.tar
ct image import box.tar > said 2>&1 || fail "$(cat said)"

# The default of ctr asks for a controller that the hierarchy may not have.
ct run -d --cpu-shares 0 floe.test/box:1 box sh -c 'n=0; while sleep 0.05; do n=$((n + 1)); echo $n > /dev/shm/count; echo $n > /count; done' \
    > said 2>&1 3>&- 8>&- 251>&- || { echo "SKIPPED containerd runs no container: $(tail -n 1 said)"; exit 0; }
count() { # FILE
    ct task exec --exec-id "x$RANDOM" box cat "$1" 2>> said
}
grows() { # FILE NUMBER
    local now
    now=$(count "$1") && [[ -n $now ]] && ((now > $2))
}
log_of() { find state root -name "$1" -exec cat {} +; }
until_true 60 grows /count 3 || fail "it does not run: $(cat said)"
last=$(count /dev/shm/count)
ct container checkpoint --image --rw --task box floe.test/saved:1 > said 2>&1 || fail "$(cat said) $(log_of criu-dump.log)"
until_true 60 grows /count "$(count /count)" || fail 'it does not run on'
# What is there when it is killed, and was not when it was captured.
ct task exec --exec-id later box sh -c 'echo 1 > /dev/shm/later' && [[ $(count /dev/shm/later) == 1 ]] || fail 'nothing can be written in it'
for round in 1 2; do
    ct task kill -s KILL box > said 2>&1 || fail "$(cat said)"
    until_true 60 eval 'ct task rm box > /dev/null 2>&1; ! ct task ls -q | has_line box' || fail 'it does not end'
    ct container rm box > said 2>&1 || fail "$(cat said)"
    ct container restore --rw --live box floe.test/saved:1 > said 2>&1 < /dev/null 3>&- 8>&- 251>&- ||
        fail "round $round: $(cat said) $(log_of restore.log)"
    now=$(count /dev/shm/count)
    ((now >= last)) || fail "it has begun with $now behind $last"
    ! count /dev/shm/later || fail 'it is where it was when it was killed'
    until_true 60 grows /dev/shm/count "$now" || fail "it stands still: $(log_of restore.log)"
    [[ $(count /count) -ge $now ]] || fail "its file has $(count /count), its memory $now"
done
