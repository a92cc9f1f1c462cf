# podman with runc: a container with an overlay as its root and podman's filter of system calls, checkpointed and restored, exported and
# brought back twice beside itself, and with a terminal.
. "$dir/containers.sh"
type -p podman conmon > /dev/null || { echo 'SKIPPED there is no podman'; exit 0; }
mkdir run storage
export XDG_RUNTIME_DIR=$PWD/run
pod() {
    podman --runtime-flag "root=$PWD/state" --root "$PWD/storage" --runroot "$PWD/run/root" --tmpdir "$PWD/run/tmp" --runtime runc --cgroup-manager cgroupfs \
        --events-backend file "$@" 3>&- 251>&-
}
remove_all() {
    local one
    local -a all
    mapfile -t all < <(pod ps -aq --no-trunc)
    pod rm -af > /dev/null 2>&1 || true
    # Of its monitors podman leaves cgroups.
    for one in "${all[@]}"; do
        find /sys/fs/cgroup -depth -type d -path "*/libpod-*$one*" -exec rmdir {} + 2> /dev/null || true
    done
}
trap 'remove_all; clean' EXIT
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --network none --cgroup-parent "/$id")
bundle true < /dev/null
tar -C bundle/rootfs -cf root.tar .
pod import -q root.tar box > /dev/null
count='n=0; while sleep 0.05; do n=$((n+1)); echo $n; done'
if ! pod run -d --name one "${limits[@]}" box sh -c "$count" > said 2>&1; then
    cat said
    echo 'SKIPPED podman cannot start a container here'
    exit 0
fi
log_of() { find storage -name "$1" -exec cat {} + | tail -n 20; }
reaches() { # NAME NUMBER
    (($(pod logs "$1" | tail -n 1) > $2))
}
goes_on() { # NAME: its numbers grow by one
    local last
    last=$(pod logs "$1" | tail -n 1)
    until_true 10 reaches "$1" $((last + 2))
    pod logs "$1" | awk '$1 != ++n { exit 1 }' || fail "$1: a number is lost or doubled: $(pod logs "$1" | tail -n 40)"
}
goes_on one
pod exec one sh -c 'echo data > /tmp/file'
for round in 1 2 3; do
    pod container checkpoint one > said 2>&1 || fail "checkpoint $round: $(cat said) $(log_of dump.log)"
    pod container restore one > said 2>&1 || fail "restore $round: $(cat said) $(log_of restore.log)"
    goes_on one
done
pod container checkpoint --leave-running --print-stats one > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
grep -q '"pages_written": [1-9]' said || fail "$(cat said)"
goes_on one
[[ $(pod exec one cat /tmp/file) == data ]] || fail 'a file is gone'
pod container checkpoint -e archive.tar.gz one > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
last=$(pod logs one | tail -n 1)
if criu check --feature mem_dirty_track > /dev/null; then
    # One that builds on an earlier one, in the storage of podman and as archives.
    pod container restore -i archive.tar.gz -n three > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
    pod container checkpoint -P three > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
    goes_on three
    pod container checkpoint -k --with-previous three > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
    log_of dump.log | has_line '"--since"' || fail "$(log_of dump.log)"
    pod container restore three > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
    goes_on three
    pod container checkpoint -P -e before.tar.gz three > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
    goes_on three
    pod container checkpoint --with-previous -e after.tar.gz three > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
    later=$(pod logs three | tail -n 1)
    pod rm -f three > said 2>&1 || fail "$(cat said)"
    pod container restore --import-previous before.tar.gz -i after.tar.gz > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
    until_true 10 reaches three $((later + 2))
    pod rm -f three > said 2>&1 || fail "$(cat said)"
fi
pod rm -f one > said 2>&1 || fail "$(cat said)"
pod container restore -i archive.tar.gz > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
pod container restore -i archive.tar.gz -n two > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
for name in one two; do
    until_true 10 reaches "$name" $((last + 2))
    goes_on "$name"
    [[ $(pod exec "$name" cat /tmp/file) == data ]] || fail "$name: a file is gone"
done
remove_all

# A terminal, whose master conmon has.
pod run -dt --name three "${limits[@]}" box sh -c 'n=0; while read -r line; do n=$((n + 1)); echo "got $line, $n"; done' > said 2>&1 || fail "$(cat said)"
say() { # TEXT
    python3 - "$1" << 'SCRIPT' > attached 2>&1 || true
import os, pty, subprocess, sys, time, select
master, slave = pty.openpty()
command = ["podman", "--runtime-flag", "root=" + os.getcwd() + "/state", "--root", os.getcwd() + "/storage", "--runroot", os.getcwd() + "/run/root", "--tmpdir", os.getcwd() + "/run/tmp",
    "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file", "attach", "three"]
process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
time.sleep(0.7)
os.write(master, sys.argv[1].encode() + b"\n")
time.sleep(0.7)
process.kill()
while select.select([master], [], [], 0.1)[0]: os.write(1, os.read(master, 4096))
SCRIPT
}
say first
pod logs three | has_line 'got first, 1' || fail "$(pod logs three) $(cat attached)"
pod container checkpoint three > said 2>&1 || fail "$(cat said) $(log_of dump.log)"
pod container restore three > said 2>&1 || fail "$(cat said) $(log_of restore.log)"
say second
pod logs three | has_line 'got second, 2' || fail "$(pod logs three) $(cat attached)"
remove_all
