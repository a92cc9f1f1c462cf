# tail -F follows a log by inotify. What is written while it is not there makes no event, and comes out with the next one.
touch log
start out tail -F -n +1 log
echo before >> log
until_true 10 grep -qx before out
ls -l "/proc/$pid/fd" | has_line inotify || fail "it does not use inotify"
checkpoint_kill "$pid" image
echo meanwhile >> log
restore_detached image --on-change "append:$PWD/log"
echo behind >> log
until_true 10 grep -qx behind out || fail "$(cat out)"
grep -qx meanwhile out || fail "$(cat out)"

# Frozen in the middle of a rotation.
checkpoint.sh "$pid" -o image --kill --on-change "append:$PWD/**"
until_true 5 test ! -e "/proc/$pid"
restore_detached image
mv log log.1
echo rotated > log
until_true 10 grep -qx rotated out || fail "$(cat out)"
checkpoint_kill "$pid" image
restore_detached image
echo last >> log
until_true 10 grep -qx last out || fail "$(cat out)"
[[ $(grep -c -x -e before -e meanwhile -e behind -e rotated -e last out) == 5 ]] || fail "it wrote something twice: $(cat out)"
kill -9 "$pid"
