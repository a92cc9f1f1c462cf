# A Debian that systemd-nspawn(1) has booted, with systemd as its init, is killed and restored from the host, twice: systemd is still of
# the opinion that all is running, and starts services. Making that Debian takes a minute, so: scripts/test.sh --all.
[[ -n ${FLOE_ALL_FAULTS-} ]] || { echo 'SKIPPED a booted system takes minutes (scripts/test.sh --all)'; exit 0; }
for program in debootstrap systemd-nspawn; do
    type -p "$program" > /dev/null || { echo "SKIPPED there is no $program"; exit 0; }
done
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup || { echo 'SKIPPED there are no cgroups of version 2'; exit 0; }
name=floe-${PWD##*[./]} outer='' pid=''
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm debian > said 2>&1 || fail "debootstrap: $(tail said)"
clean() {
    [[ -z $pid ]] || kill -9 "$pid" 2> /dev/null
    [[ -z $outer ]] || kill -9 "$outer" 2> /dev/null
    find /sys/fs/cgroup -mindepth 1 -depth -type d -path "*$name*" -exec rmdir {} + 2> /dev/null
    rm -rf "/run/systemd/nspawn/propagate/$name"
}
trap 'clean || true' EXIT
setsid systemd-nspawn -q -D debian -b --register=no --keep-unit -M "$name" < /dev/null > boot.log 2>&1 251>&- & outer=$!
inside() { nsenter -t "$pid" -m -p -n -u -i -C "$@"; }
is_up() { pid=$(pgrep -P "$outer") && [[ $(inside systemctl is-system-running 2> /dev/null) == running ]]; }
until_true 120 is_up || fail "it does not boot: $(cat boot.log)"
inside systemd-run -q --unit counter bash -c 'for ((n = 1; ; n++)); do echo $n >> /run/log-of-counter; sleep 0.05; done'
last() { inside tail -n 1 /run/log-of-counter; }
for round in 1 2; do
    checkpoint.sh "$pid" -o image --kill || fail "checkpoint $round"
    # nspawn takes its end of this mount away with itself.
    mkdir -p "/run/systemd/nspawn/propagate/$name"
    restore_detached image --pidfile pid --root "$PWD/debian"
    pid=$(cat pid)
    [[ $(inside systemctl is-system-running) == running ]] || fail "restore $round: $(inside systemctl --failed)"
    n=$(last)
    until_true 10 eval '(($(last) > n + 10))' || fail "its service stands still after restore $round"
    [[ $(inside systemd-run -q --wait --pipe echo of-a-new-unit) == of-a-new-unit ]] || fail "it starts nothing after restore $round"
    rm image
done
inside cat /run/log-of-counter | awk '$1 != ++n { exit 1 }' || fail 'a number is lost or doubled'
