# alone: /sys/fs/cgroup
# A container of podman that is captured and restored from the host, without podman: what it had mounted for the container, and has
# unmounted when that died, the user gives.
for tool in podman runc busybox; do type -p "$tool" > /dev/null || { echo "SKIPPED there is no $tool"; exit 0; }; done
mkdir -p root/{bin,etc,tmp,proc,sys,dev,run,root} pod shm
cp "$(type -p busybox)" root/bin
for name in sh sleep cat; do ln -s busybox "root/bin/$name"; done
pod() { podman --root "$PWD/pod/store" --runroot "$PWD/pod/run" --cgroup-manager cgroupfs --runtime runc "$@"; }
pod run -d --name it --network none --security-opt seccomp=unconfined --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 \
    --rootfs "$PWD/root" /bin/sh -c 'echo hi > /tmp/file; exec > /root/log
    while sleep 0.03; do [ "$(cat /tmp/file)" = hi ] || exit; n=$((n+1)); echo $n; done' > said 2>&1 ||
    { echo "SKIPPED podman runs no container here: $(tail -n 1 said)"; exit 0; }
until_true 10 grep -qs '^20$' root/root/log
pid=$(pod inspect -f '{{.State.Pid}}' it)
[[ $(nsenter -t "$pid" -p -m /bin/busybox cat /proc/1/comm) == sh ]] || fail "pid $pid is not the container"
for round in 1 2; do
    expect_exit 0 freeze --check "$pid"
    rm -f image
    checkpoint.sh "$pid" -o image --kill
    [[ $round == 2 ]] || pod wait it > /dev/null 2>&1 || true
    restore_detached image --pidfile pid --external "/dev/shm=$PWD/shm" > out
    pid=$(cat pid)
    grows root/root/log || fail "it stands still after restore $round: $(cat root/root/log)"
done
awk '$1 != ++n { exit 1 }' root/root/log || fail "a number is lost or doubled"
kill -9 "$pid"
pod rm -f it > /dev/null 2>&1 || true
