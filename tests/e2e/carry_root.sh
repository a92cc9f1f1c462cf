# A container whose root travels in the image (dumpmnt --carry-root): its root is removed, and it lives on in a directory that
# restore has been given, in a second one, and so once more from an overlay. Nothing is left in a directory where a restore fails.
need() { type -p "$1" > /dev/null || { echo "SKIPPED there is no $1"; exit 0; }; }
need redis-server
need busybox
mkdir base
with_libraries base "$(type -p redis-server)" "$(type -p redis-cli)"
mkdir -p base/{bin,proc,dev,tmp,old,data,etc}
cp "$(type -p busybox)" base/bin/
for name in sh sleep cat; do ln -s busybox "base/bin/$name"; done
mknod base/dev/null c 1 3
mkfifo -m 604 base/etc/fifo
echo text > base/etc/one
ln base/etc/one base/etc/two
chown 1234:4321 base/etc/one
chmod 640 base/etc/one
touch -d '2001-02-03 04:05:06.789' base/etc/one
truncate -s 3M base/etc/sparse
echo end >> base/etc/sparse
python3 -c 'import os; os.setxattr("base/etc/one", "user.floe", b"attribute")' 2> /dev/null || echo "SKIPPED: attributes cannot be set here"
cat > base/inside.sh << 'SCRIPT'
pivot_root . old
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t tmpfs tmpfs /tmp
/bin/busybox umount -l /old
exec > /data/log 2>&1 < /dev/null
cd /data
redis-server --port 0 --unixsocket /tmp/redis --save "" --appendonly yes > /dev/null &
while :; do
    number=$(redis-cli -s /tmp/redis incr number 2> /dev/null) || { sleep 0.1; continue; }
    echo "$number"
    sleep 0.02
done
SCRIPT
container() { # ROOT
    setsid unshare -fpmiun bash -c "cd $1; exec /bin/busybox sh ./inside.sh" < /dev/null > outer 2>&1 8<&- & outer=$!
    until_true 20 eval 'pid=$(pgrep -P "$outer")'
    until_true 20 goes_on 5 || fail "$(cat outer)"
}
goes_on() { [[ $(tail -n 1 "/proc/$pid/root/data/log" 2> /dev/null) -ge $1 ]]; }
lives_on() { # ROOT
    local last log=$1/data/log
    last=$(tail -n 1 "$log")
    until_true 20 goes_on $((last + 5)) || fail "it stands still in $1"
    awk '$1 != ++n { exit 1 }' "$log" || fail "a number is lost or doubled: $(cat "$log")"
    [[ $(stat -Lc %d:%i "/proc/$pid/root") == $(stat -c %d:%i "$1") ]] || fail "its root is not $1"
}
# What is there, but for what it writes, devices, and the links of directories, which no overlay counts.
listed() { (cd "$1" && find . -path ./data -prune -o -printf '%p %y %m %U:%G %s %T@ %n %l\n' | awk '$2 == "d" { $7 = "" } $2 != "c"' | sort && getfattr -d -R . 2> /dev/null | sort; cat etc/*e etc/two | md5sum); }
ends() { kill -9 "$pid"; all_gone "$pid"; }

through() { # ROOT: the tree in it, killed, restored without it, and so once more
    local was
    was=$(listed "$1")
    checkpoint.sh "$pid" -o image --kill --carry-root || fail "checkpoint: exit $?"
    all_gone "$pid"
    ! mountpoint -q "$1" || umount "$1"
    rm -rf --one-file-system "$1"
    expect_exit 3 restore --detach < image
    has_line 'its files travel: name an empty directory for them with --root' < stderr || fail "$(cat stderr)"
    mkdir full first second
    touch full/file
    expect_exit 3 restore --detach --root "$PWD/full" < image
    has_line 'it is not empty' < stderr || fail "$(cat stderr)"
    # Damage that shows when all of it is there.
    python3 -c 'b = bytearray(open("image", "rb").read()); b[len(b) - 9000] ^= 1; open("damaged", "wb").write(b)'
    chmod 711 first
    expect_exit 4 restore --detach --root "$PWD/first" < damaged
    [[ -z $(ls -A first) && $(stat -c %a first) == 711 ]] || fail "a failed restore leaves $(ls -lA first)"
    restore_detached image --root "$PWD/first" --pidfile pidfile
    pid=$(cat pidfile)
    lives_on first
    [[ $(listed first) == "$was" ]] || fail "files are not what they were: $(diff <(echo "$was") <(listed first))"
    [[ $(stat -c %b first/etc/sparse) -lt 100 ]] || fail "the holes are filled"
    checkpoint.sh "$pid" -o image --kill --carry-root || fail "checkpoint: exit $?"
    all_gone "$pid"
    rm -rf first
    cat image | restore --detach --root "$PWD/second" --pidfile pidfile || fail "restore from a pipe: exit $?"
    pid=$(cat pidfile)
    lives_on second
    [[ $(listed second) == "$was" ]] || fail "files are not what they were: $(diff <(echo "$was") <(listed second))"
    ends
    rm -rf full second image
}

cp -a base root
mount --bind root root
container root
through root

# From an overlay: all of it travels, the lower layer as well.
mkdir upper work merged
mount -t overlay -o "lowerdir=$PWD/base,upperdir=$PWD/upper,workdir=$PWD/work" none merged
container merged
through merged

# A tree without a root of its own.
start log sleep 1000
expect_exit 3 checkpoint.sh "$pid" -o image --carry-root
has_line 'the tree stands in the mount namespace of freeze (leave out --carry-root' < stderr || fail "$(cat stderr)"
[[ ! -e image ]] || fail "there is an image"
end_group "$pid"
