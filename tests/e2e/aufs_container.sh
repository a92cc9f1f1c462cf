# Containers whose root is a real AUFS, on a kernel whose map_files names the files of branches and on one where it does not:
# a server and its client are killed and live on, on the stack as it is, and on one that is mounted anew.
# scripts/vm-test.sh runs it in a machine that has AUFS.
grep -qw aufs /proc/filesystems || { echo "SKIPPED this kernel has no AUFS: scripts/vm-test.sh aufs"; exit 0; }
type -p redis-server busybox > /dev/null || { echo "SKIPPED there is no redis-server, or no busybox"; exit 0; }
switch=/sys/module/proc/parameters/aufs_map_files_bug
mount -t tmpfs none .
cd "$PWD"

mkdir -p programs/{bin,proc,dev,data,old,tmp}
with_libraries programs "$(type -p redis-server)" "$(type -p redis-cli)"
cp "$(type -p busybox)" programs/bin/
for name in sh sleep cat; do ln -s busybox "programs/bin/$name"; done
mknod programs/dev/null c 1 3
mkdir -p settings/etc
echo 'appendonly yes
save ""
port 0
unixsocket /tmp/redis' > settings/etc/redis.conf
# Two names of one file: of what is written to one of them, AUFS keeps a pseudo link.
mkdir -p settings/links
echo one > settings/links/a
ln settings/links/a settings/links/b

# Runs inside, behind the mounts.
cat > inside.sh <<'SCRIPT'
pivot_root . old
/bin/busybox mount -t proc proc /proc
/bin/busybox umount -l /old
exec > /data/log 2>&1 < /dev/null
/bin/busybox echo two >> /links/a
exec 5< /links/a 6< /links/b 7>> /data/own
cd /data
redis-server /etc/redis.conf > /dev/null &
while :; do
    number=$(redis-cli -s /tmp/redis incr number 2> /dev/null) || { /bin/busybox sleep 0.1; continue; }
    echo "$number" >&7
    echo "$number"
    /bin/busybox sleep 0.05
done
SCRIPT
cp inside.sh programs/inside.sh

# container SETUP: SETUP mounts the root and goes there; $pid is the init inside.
container() {
    setsid unshare -fpmiun bash -c "$1; exec /bin/busybox sh ./inside.sh" < /dev/null > outer 2>&1 8<&- & outer=$!
    until_true 60 eval 'pid=$(pgrep -P "$outer")'
    until_true 100 eval 'goes_on 5' || fail "$(cat outer; cat "/proc/$pid/root/data/log")"
}
goes_on() { [[ $(tail -n 1 "/proc/$pid/root/data/log" 2> /dev/null) -ge $1 ]]; }
lives_on() { # WHAT
    local last
    last=$(tail -n 1 "/proc/$pid/root/data/log")
    until_true 60 goes_on $((last + 3)) || fail "$1: $(cat "/proc/$pid/root/data/log")"
    awk '$1 != ++n { exit 1 }' "/proc/$pid/root/data/log" || fail "$1: a number is lost or doubled: $(cat "/proc/$pid/root/data/log")"
    awk '$1 != ++n { exit 1 }' "/proc/$pid/root/data/own" || fail "$1: a number is lost or doubled in the other file"
    [[ $(cat "/proc/$pid/fd/5") == "$(printf 'one\ntwo')" ]] || fail "$1: the first link is $(cat "/proc/$pid/fd/5")"
    table | has_line aufs || fail "$1: no aufs is mounted: $(table)"
}
table() { sed -E 's/^[0-9]+ [0-9]+ [0-9:]+ //; s/si=[0-9a-f]+/si/' "/proc/$pid/mountinfo"; }
through() { # WHAT RESTORE-OPTION…
    local what=$1 was
    shift
    was=$(table)
    freeze --check "$pid" > /dev/null || fail "$what: --check"
    rm -f image
    checkpoint.sh "$pid" -o image --kill || fail "$what: checkpoint"
    until_true 20 test ! -e "/proc/$pid"
    between
    restore_detached image --pidfile pidfile "$@"
    pid=$(cat pidfile)
    [[ $(table) == "$was" ]] || fail "$what: it has other mounts: $(diff <(echo "$was") <(table))"
    lives_on "$what"
}
end() { kill -9 "$pid"; until_true 20 test ! -e "/proc/$pid"; between() { :; }; }
between() { :; }

three_layers() { # As an engine does it: the stack is mounted where everybody sees it, and bound.
    mkdir -p top union
    mount -t aufs -o "br:$PWD/top=rw:$PWD/settings=ro+wh:$PWD/programs=ro+wh,dirperm1" none union
    container 'mount --bind union union; mount -t tmpfs data union/data; cd union'
    through "on the stack of the host"
    through "on the stack of the host, again"
    between() {
        umount union
        expect_exit 3 restore --detach < image
        has_line "aufs at $PWD/union: is not mounted here (mount it, have it mounted with --rebuild-unions" < stderr || fail "$(cat stderr)"
    }
    through "without the stack of the host" --rebuild-unions
    # In its place another one, of other layers.
    between() {
        umount union
        mount -t aufs -o "br:$PWD/top=rw:$PWD/programs=ro+wh,dirperm1" none union
        expect_exit 3 restore --detach < image
        has_line "aufs at $PWD/union: has $PWD/programs as branch 1 now, and had $PWD/settings" < stderr || fail "$(cat stderr)"
        umount union
        mkdir elsewhere
        mount -t aufs -o "br:$PWD/top=rw:$PWD/settings=ro+wh:$PWD/programs=ro+wh,dirperm1" none elsewhere
    }
    through "on a stack elsewhere" --root "$PWD/elsewhere"
    end
    umount elsewhere
    rm -rf top union elsewhere
}

two_stacks() { # One of them has twelve branches.
    local branches=br:$PWD/top=rw n
    mkdir -p top more data/base union second
    for n in {1..9}; do
        mkdir -p "layer $n/etc"
        echo "$n" > "layer $n/etc/layer$n"
        branches+=:"$PWD/layer $n"=ro+wh
    done
    mount -t aufs -o "$branches:$PWD/settings=ro+wh:$PWD/programs=ro+wh" root union
    mount -t aufs -o "br:$PWD/more=rw:$PWD/data/base=ro" data second
    container "mount --rbind union union; cd union; mount --bind ../second data"
    through "two stacks"
    [[ $(cat /proc/"$pid"/root/etc/layer{1..9} | tr -d '\n') == 123456789 ]] || fail "a layer is missing"
    [[ -s more/log ]] || fail "it does not write into its second stack"
    between() { umount union second; }
    through "two stacks that were mounted anew" --rebuild-unions
    [[ $(cat /proc/"$pid"/root/etc/layer{1..9} | tr -d '\n') == 123456789 ]] || fail "a layer is missing"
    end
    umount union second
    rm -rf top more data union second layer*
}

nobody_else_sees_it() { # What its branches are called could not be told when the mounts that they were found by are gone.
    mkdir -p top union
    container "mount -t aufs -o 'br:$PWD/top=rw:$PWD/settings=ro+wh:$PWD/programs=ro+wh' none union; cd union"
    expect_exit 3 freeze --check "$pid"
    has_line "mount / (aufs): its file system is mounted nowhere else (mount it in the namespace of freeze as well, or unmount it)" < stderr || fail "$(cat stderr)"
    lives_on "a refusal"
    end
    rm -rf top union
}

for fault in 0 1; do
    if [[ -e $switch ]]; then echo "$fault" > "$switch"; elif ((fault)); then continue; fi
    three_layers
    two_stacks
    nobody_else_sees_it
done
