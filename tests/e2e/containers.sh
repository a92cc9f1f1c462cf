# Helpers of the scenarios with runc. Each has a container of its own name, state and cgroup.

grep -q ' - cgroup' /proc/self/mountinfo || { echo 'SKIPPED there are no cgroups'; exit 0; }
mkdir bin images work bundle state
ln -s "$FLOE_TOOLS/criu-front" bin/criu
export PATH=$PWD/bin:$PATH
id=floe-${PWD##*/}
box() { runc --root "$PWD/state" --log "$PWD/runc.log" "$@"; }
mkfifo to_in; exec 3<> to_in
# However it ends, no container and no cgroup of it stays.
no_cgroups() {
    find /sys/fs/cgroup -depth -type d '(' -name "$id" -o -path "*/$id/*" ')' -exec rmdir {} + 2> /dev/null
    [[ -z $(find /sys/fs/cgroup -type d -name "$id") ]]
}
clean() {
    box resume "$id" > /dev/null 2>&1 || true
    box delete -f "$id" > /dev/null 2>&1 || true
    until_true 5 no_cgroups || true
}
trap clean EXIT

# bundle WORDS…: a container of busybox that runs these words; standard input is a program that changes `config` (python).
bundle() {
    mkdir -p bundle/rootfs/{bin,proc,sys,dev,tmp,etc}
    cp "$(type -p busybox)" bundle/rootfs/bin/
    for applet in sh cat cut ps hostname sleep ls readlink stty; do ln -sf busybox "bundle/rootfs/bin/$applet"; done
    (cd bundle && runc spec)
    cat > change.py
    python3 - "$id" "$@" << 'SCRIPT'
import json, sys
config = json.load(open("bundle/config.json"))
config["process"]["terminal"] = False
config["process"]["args"] = sys.argv[2:]
config["linux"]["cgroupsPath"] = "/" + sys.argv[1]
exec(open("change.py").read())
json.dump(config, open("bundle/config.json", "w"))
SCRIPT
}
streams() { # descriptors 4 and 5: pipes of ours, from the one file and to the other
    exec 4< <(exec cat to_in 3>&-) 5> >(exec cat >> out 3>&-)
}
# start_box: sets pid
start_box() {
    streams
    box run -d --bundle "$PWD/bundle" --pid-file "$PWD/pid" "$id" <&4 >&5 2>&1 3>&- 4>&- 5>&- 251>&- || fail "runc run: $(cat out runc.log)"
    exec 4>&- 5>&-
    pid=$(cat pid)
}
checkpoint_box() { # OPTIONS…
    box checkpoint --image-path "$PWD/images" --work-path "$PWD/work" "$@" "$id" > checkpoint.out 2>&1 ||
        fail "runc checkpoint: $(cat checkpoint.out work/dump.log)"
}
restore_box() { # OPTIONS…: sets pid
    streams
    box restore -d --bundle "$PWD/bundle" --pid-file "$PWD/pid" --image-path "$PWD/images" --work-path "$PWD/work" "$@" "$id" \
        <&4 >&5 2>&5 3>&- 4>&- 5>&- 251>&- || fail "runc restore: $(cat out work/restore.log)"
    exec 4>&- 5>&-
    pid=$(cat pid)
}
status_of_box() { box list -f json | python3 -c 'import json, sys; print(*(box["status"] for box in json.load(sys.stdin) or []))'; }
delete_box() { box delete -f "$id" > deleted 2>&1 || fail "$(cat deleted)"; }
runs() { # does it answer?
    local n=$RANDOM
    until_true 10 eval 'echo "$n" >&3; sleep 0.05; grep -qx "got $n" out'
}
