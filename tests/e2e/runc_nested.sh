# A container of runc in which a second one runs, in a pid and a mount namespace of its own with its own /proc: to an image and back, twice.
. "$dir/containers.sh"
bundle sh -c 'unshare -m -p -f sh inner; echo ended' << 'SCRIPT'
for kind in config["process"]["capabilities"].values(): kind.append("CAP_SYS_ADMIN")
SCRIPT
for applet in unshare mount; do ln -sf busybox "bundle/rootfs/bin/$applet"; done
cat > bundle/rootfs/inner << 'SCRIPT'
mount -t proc proc /proc
sleep 100000 &
child=$!
while read -r line; do
    # Numbers are those of here.
    [ "$(cat /proc/1/comm)" = sh ] && [ "$(cat "/proc/$child/comm")" = sleep ] && [ "$$" = 1 ] || echo wrong
    echo "got $line"
done
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
for round in 1 2; do
    checkpoint_box
    until_true 5 test ! -e "/proc/$pid" || fail 'it is still there'
    restore_box
    [[ $(status_of_box) == running ]] || fail "$(status_of_box)"
    runs || fail "it stands still in round $round: $(cat work/restore.log out)"
    ! grep -q wrong out || fail "its /proc shows others: $(cat out)"
done
delete_box
