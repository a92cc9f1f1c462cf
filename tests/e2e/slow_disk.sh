# A thread that waits for a disk cannot be stopped, but a disk only takes a while: freeze waits for it.
mkdir disk
truncate -s 16M disk.ext4
mkfs.ext4 -q disk.ext4 && mount -o loop disk.ext4 disk 2> said || { echo "SKIPPED no ext4 on a loop device: $(cat said)"; exit 0; }
start log bash -c 'while sleep 0.01; do echo $((++n)) >> disk/file; done'
until_true 5 test -s disk/file
fsfreeze -f disk
until_true 5 grep -q '^State:.D' "/proc/$pid/status"
(sleep 5; fsfreeze -u disk) &
expect_exit 0 freeze "$pid" -- true
grows disk/file || fail "it stands still"

# Where the disk never comes back, a signal ends freeze, and the target goes on when it can.
fsfreeze -f disk
until_true 5 grep -q '^State:.D' "/proc/$pid/status"
freeze "$pid" -- true 2> stderr & freezer=$!
sleep 1
kill -TERM "$freezer"
until_true 5 test ! -e "/proc/$freezer/exe"
wait "$freezer" && fail "status 0" || status=$?
[[ $status == 143 ]] || fail "status $status: $(cat stderr)"
fsfreeze -u disk
grows disk/file || fail "it stands still"
kill -9 "$pid"
wait "$pid" || true
umount disk
