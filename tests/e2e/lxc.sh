# A container of LXC: lxc-checkpoint stops it into an image and starts it from that, twice; it goes on, and LXC stops it.
type -p lxc-checkpoint > /dev/null || { echo 'SKIPPED there is no lxc'; exit 0; }
# LXC asks for a writable hierarchy of version 2; each container has a cgroup there.
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup || { echo 'SKIPPED there are no cgroups of version 2'; exit 0; }
mkdir bin boxes images
ln -s "$FLOE_TOOLS/criu-front" bin/criu
PATH=$PWD/bin:$PATH HOME=$PWD
name=floe-${PWD##*[./]}
of_lxc() { # COMMAND OPTION…
    local command=$1; shift
    timeout -k 1 30 "$command" -P "$PWD/boxes" -n "$name" "$@" < /dev/null 251>&-
}
clean() {
    of_lxc lxc-stop -k > /dev/null 2>&1
    find /sys/fs/cgroup -mindepth 1 -depth -type d -path "*$name*" -exec rmdir {} + 2> /dev/null
}
trap 'clean || true' EXIT
printf 'lxc.net.0.type = empty\n' > settings
of_lxc lxc-create -f settings -t busybox > said 2>&1 || fail "lxc-create: $(cat said)"
# What the manual of lxc-checkpoint asks for: neither consoles nor terminals of the host.
printf '%s\n' 'lxc.apparmor.profile = unconfined' 'lxc.tty.max = 0' 'lxc.pty.max = 4' 'lxc.console.path = none' >> "boxes/$name/config"
cat > "boxes/$name/rootfs/count" << 'S'
#!/bin/sh
n=0
while :; do n=$((n + 1)); echo $n >> /dev/shm/log; sleep 0.05; done
S
chmod +x "boxes/$name/rootfs/count"
printf '::sysinit:/bin/true\n::once:/count\n' > "boxes/$name/rootfs/etc/inittab"
of_lxc lxc-start -d -l DEBUG -o start.log > said 2>&1 || fail "lxc-start: $(cat said start.log)"
log() { of_lxc lxc-attach -- cat /dev/shm/log 2> /dev/null; }
reaches() { log | has_line "^$1\$"; }
until_true 20 reaches 20 || fail "it does not count: $(log | tail -n 1)"
of_lxc lxc-checkpoint -s -D "$PWD/images" -v -l DEBUG -o checkpoint.log > said 2>&1 ||
    fail "checkpoint: $(cat said checkpoint.log images/dump.log)"
until_true 10 eval 'of_lxc lxc-info -s | has_line STOPPED'
# LXC 5 itself cannot freeze what it has restored, so the second time is from the same image.
for round in 1 2; do
    of_lxc lxc-checkpoint -r -D "$PWD/images" -v -l DEBUG -o restore.log > said 2>&1 ||
        fail "restore $round: $(cat said restore.log images/restore.log)"
    of_lxc lxc-info -s | has_line RUNNING || fail "restore $round: $(of_lxc lxc-info)"
    n=$(log | tail -n 1)
    until_true 10 reaches "$((n + 10))" || fail "it stands still after restore $round: $(log | tail -n 1)"
    log > lines
    awk '$1 != ++n { exit 1 }' lines || fail 'a number is lost or doubled'
    of_lxc lxc-stop -k > said 2>&1 || fail "lxc-stop: $(cat said)"
done
