# Who dies while runc captures or restores a container with a connection: each stage at records that it reads, the front, the command
# that it has freeze run, and freeze at records as well; all of them, restore and runc at each step that the engine is told of; and each
# of the tools at calls of the kernel that are spread over its life. The container runs on unharmed, or nothing of it is left; nothing is
# left on the host; and it can be done again. FLOE_ALL_FAULTS=1 (scripts/test.sh --all): at every third record, at 50 calls of each, and
# at 200 of restore.
if [[ -z ${ALONE-} ]]; then
    ALONE=1 exec unshare -n bash -euo pipefail -c '. "$0/lib.sh"; . "$0/runc_faults.sh"' "$dir"
fi
dir=$0
. "$dir/containers.sh"
every=97 points=1
if [[ -n ${FLOE_ALL_FAULTS-} ]]; then every=3 points=50; fi
cc -O1 -shared -fPIC -o kill_at.so "$dir/kill_at.c" -ldl
ip link set lo up
cat > server.py << 'SCRIPT'
import socket, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", 4711))
listener.listen()
def serve(connection):
    for line in connection.makefile("rw"): connection.sendall(b"got " + line.encode())
    print("end", flush=True)
while True: threading.Thread(target=serve, args=listener.accept()[:1]).start()
SCRIPT
python3 server.py >> served 3>&- 251>&- &
until_true 10 eval 'ss -ltn | has_line 4711'
bundle sh -c 'echo data > /dev/shm/kept; nc 127.0.0.1 4711' << SCRIPT
config["annotations"] = {"org.criu.config": "$PWD/criu.conf"}
for namespace in config["linux"]["namespaces"]:
    if namespace["type"] == "network": namespace["path"] = "/proc/$$/ns/net"
SCRIPT
ln -sf busybox bundle/rootfs/bin/nc

# Tools that do as the file `fault` says: TOOL, HOW, N.
rm bin/criu
cp "$FLOE_TOOLS/criu-front" bin/criu
for tool in freeze dumpmnt dumpfs aufsfix dumpmem imgpack restore; do
    cat > "bin/$tool" << SCRIPT
#!/bin/sh
read -r tool how n < "$PWD/fault"
[ "\$tool" = $tool ] || exec "$FLOE_TOOLS/$tool" "\$@"
case \$how in
    itself) exec "$FLOE_TOOLS/fixture-killer" "\$n" "$FLOE_TOOLS/$tool" "\$@" ;;
    *) VICTIM="\$how" FLOE_KILLER="$PWD/kill" exec "$FLOE_TOOLS/fixture-killer" "\$n" "$FLOE_TOOLS/$tool" "\$@" ;;
esac
SCRIPT
done
# Kills VICTIM, which is found among the processes that we come from: command, freeze, front, runc.
cat > kill << SCRIPT
#!/bin/bash
echo hit >> "$PWD/hits"
above=\$PPID above_all=()
while ((above > 1)); do
    above_all+=("\$above:\$(cat "/proc/\$above/comm")")
    above=\$(awk '/^PPid/ { print \$2 }' "/proc/\$above/status")
done
pid_of() { printf '%s\n' "\${above_all[@]}" | grep ":\$1\$" | cut -d : -f 1; }
case \$VICTIM in
    command) victim=\$(pid_of criu | head -n 1) ;;
    front) victim=\$(pid_of criu | tail -n 1) ;;
    # The one that works has no id here but as a child.
    freeze) victim=\$(pgrep -x freeze | tail -n 1) ;;
    starter) victim=\$(pgrep -x freeze | head -n 1) ;;
    restore) victim=\$(pid_of restore) ;;
    runc) victim=\$(pid_of runc | head -n 1) ;;
esac
kill -9 "\$victim"
# What it was about to do it may do until it has ended.
n=0
while ((n++ < 200)) && read -r _ _ state _ < "/proc/\$victim/stat" && [[ \$state != Z ]]; do sleep 0.005; done 2> /dev/null
SCRIPT
cat > script << SCRIPT
#!/bin/sh
read -r step VICTIM < "$PWD/step"
[ "\$step" = "\$CRTOOLS_SCRIPT_ACTION" ] || exit 0
export VICTIM
exec "$PWD/kill"
SCRIPT
chmod +x bin/* kill script
echo "action-script $PWD/script" > criu.conf
# kills_at WHO N COMMAND…
kills_at() {
    rm -f count
    LD_PRELOAD=$PWD/kill_at.so KILL_WHO=$1 KILL_AT=$2 KILL_COUNT=$PWD/count "${@:3}"
}
counted() { od -An -td8 count | tr -d ' '; }

no_tools() { ! ps -eo stat=,comm= | grep -v '^Z' | has_line -E ' (freeze|dumpmnt|dumpfs|aufsfix|dumpmem|imgpack|restore|criu|runc|fixture-killer)$'; }
no_box() { ! pgrep -f '^nc 127.0.0.1 4711' > /dev/null && ! pgrep -f '^sh -c echo data' > /dev/null; }
# All that could be left on the host.
host() {
    awk '{ print $5, $9 }' /proc/self/mountinfo
    ip -o link | cut -d ' ' -f 2
    nft list tables
    find /sys/fs/cgroup -type d '(' -name "$id" -o -path "*/$id/*" ')' 2> /dev/null || true
    cat /proc/sysvipc/{shm,sem,msg}
    ss -Htan | awk '{ print $1, $4, $5 }' | sort
    find . -name '.floe*'; find state images
    ps -eo stat=,comm= | grep -v '^Z' | grep -Ev ' (ps|grep|bash|cat)$'
}
# What the container would notice.
inside() {
    cat "/proc/$pid/"{mountinfo,cgroup,limits}
    for p in $(pgrep -f '^nc 127.0.0.1 4711') $pid; do
        cat "/proc/$p/maps"
        grep -E '^(TracerPid|Sig[PBIC]|Shd|Cap|NoNew|Seccomp|Uid|Gid|Threads)' "/proc/$p/status"
        ls -l "/proc/$p/fd" | awk '{ print $1, $9, $11 }'
    done
    nsenter -t "$pid" -m -i cat /dev/shm/kept /proc/sysvipc/shm
}
same() { # WHAT FILE WHY
    "$1" > now 2>&1 || true
    diff "$2" now > difference || fail "$3: $1: $(cat difference said)"
}
begin() {
    rm -rf images/* hits
    echo "$1" > step
    echo "$2" > fault
}
with=()
# survives STEP FAULT OPTIONS…: a checkpoint with these faults; true when it has worked all the same.
survives() {
    local why="step $1, fault $2, ${with[*]}"
    begin "$1" "$2"; shift 2
    local done=0
    "${with[@]}" box checkpoint --tcp-established --image-path "$PWD/images" --work-path "$PWD/work" "$@" "$id" > said 2>&1 3>&- 251>&- || done=1
    until_true 10 no_tools
    runs || fail "$why: it stands still: $(cat said)"
    [[ $(status_of_box) == running ]] || fail "$why: $(status_of_box)"
    # A front that has died behind its last word has no say any more.
    [[ $done == 0 || ! -e images/floe.img || ${with[*]} == *criu* ]] || fail "$why, ${with[*]}: an image of what has failed"
    rm -rf images/*
    same inside inside "$why"
    same host host "$why"
    return $done
}

start_box
runs || fail "it does not answer: $(cat out)"
# Behind a checkpoint: what that leaves belongs to nobody's death.
echo none > step
echo none > fault
checkpoint_box --tcp-established --leave-running
rm images/*
inside > inside
host > host
dead=0
# Each stage at its records, and at those of the last one who is above it.
for fault in dumpmnt:itself dumpfs:itself aufsfix:itself dumpmem:itself imgpack:itself imgpack:command imgpack:front imgpack:freeze imgpack:starter; do
    n=0
    until survives none "${fault/:/ } $n" --leave-running; do
        ((dead += 1, n += every))
        ((n < 2000)) || fail "$fault never comes through: $(cat said work/dump.log)"
    done
    ((n > 0)) || fail "nobody was killed: $fault"
done
for step in pre-dump network-lock query-ext-files post-dump; do
    for victim in front freeze runc; do
        [[ $step-$victim != pre-dump-freeze ]] || continue
        if survives "$step $victim" none; then fail "$victim was killed at $step, and it has worked"; fi
        [[ -s hits ]] || fail "no $victim at $step"
        ((dead += 1))
    done
done
for who in freeze dumpmnt dumpfs aufsfix dumpmem imgpack criu; do
    with=(kills_at "$who" 0)
    survives none none --leave-running || fail "$(cat said work/dump.log)"
    all=$(counted)
    ((all > 20)) || fail "only $all calls of $who"
    echo "$who: $all calls"
    for ((n = 0; n < points; n++)); do
        with=(kills_at "$who" $((1 + (2 * n + 1) * all / points / 2)))
        # There may have been fewer calls this time.
        survives none none --leave-running || ((dead += 1))
    done
done
with=()
echo "checkpoint: $dead were killed"
((dead > 20)) || fail 'that is not enough'
[[ ! -s served ]] || fail 'the server has seen an end'
away_with_it() {
    begin none none
    checkpoint_box --tcp-established
    until_true 10 no_box
    host > host_without
}
away_with_it

# fails WHY: behind a restore that has failed nothing is left but what a runc that was killed leaves. A tree that was being let go is there
# as a whole, and has its connection: then it begins anew, and this is false.
fails() {
    local lives=0
    until_true 10 no_tools
    # Those of a tree that has not come would each take a line of the next one.
    no_box && pkill -f '^cat to_in$' || true
    if ! until_true 1 no_box 2> /dev/null; then
        runs || fail "$1: half of it is left: $(ps -ef)"
        lives=1
        pkill -9 -f '^sh -c echo data' || true
        pkill -9 -f '^nc 127.0.0.1 4711' || true
        until_true 10 no_box || fail "$1: $(ps -ef)"
    fi
    while umount -l "state/$id/criu-root" 2> /dev/null; do :; done
    box delete -f "$id" > deleted 2>&1 || true
    if [[ -d state/$id ]]; then
        rmdir "state/$id/criu-root" 2> /dev/null || true
        rm -f "state/$id"/*
        rmdir "state/$id"
    fi
    until_true 5 no_cgroups || fail "$1: $(find /sys/fs/cgroup -name "$id" | head -n 1) is left"
    if ((lives)); then
        : > served
        start_box
        runs || fail "it does not answer: $(cat out)"
        away_with_it
        return 1
    fi
    same host host_without "$1"
    [[ ! -s served ]] || fail "$1: the server has seen an end"
}
tries() { # STEP FAULT
    streams
    rm -f hits
    echo "$1" > step
    echo "$2" > fault
    done=0
    "${with[@]}" box restore -d --tcp-established --bundle "$PWD/bundle" --pid-file "$PWD/pid" --image-path "$PWD/images" --work-path "$PWD/work" "$id" \
        <&4 >&5 2> said 3>&- 4>&- 5>&- 251>&- || done=1
    exec 4>&- 5>&-
}
dead=0
for step in pre-restore setup-namespaces post-setup-namespaces post-restore network-unlock pre-resume; do
    for victim in front restore runc; do
        [[ $step-$victim != pre-restore-restore ]] || continue
        tries "$step $victim" none
        [[ -s hits ]] || fail "no $victim at $step: $(cat said work/restore.log)"
        fails "$victim was killed at $step" || fail "$victim was killed at $step: it is too late to take it back"
        ((dead += 1))
    done
done
for who in restore criu; do
    with=(kills_at "$who" 0)
    tries none none
    runs || fail "it stands still: $(cat said work/restore.log)"
    pid=$(cat pid)
    all=$(counted)
    ((all > 20)) || fail "only $all calls of $who"
    echo "$who: $all calls"
    away_with_it
    late=0
    for ((n = 0; n < points * 4; n++)); do
        with=(kills_at "$who" $((1 + (2 * n + 1) * all / points / 8)))
        tries none none
        fails "${with[*]} of $all" || { ((late += 1)); echo "${with[*]} of $all: it was let go"; }
        ((dead += 1))
    done
    ((late <= 1 + points / 2)) || fail "$late of $((points * 4)) times it was too late"
done
with=()
echo "restore: $dead were killed"
echo none > step
restore_box --tcp-established
runs || fail "it stands still: $(cat work/restore.log)"
[[ $(status_of_box) == running ]] || fail "$(status_of_box)"
delete_box
