# An image that was cut or changed within its pages: exit code 4, and no process is left behind.
start log bash -c 'while sleep 0.05; do echo $((++n)); done'
until_true 10 grep -q '^3$' log
checkpoint_kill "$pid" image
size=$(stat -c %s image)
for tenth in 1 2 3 4 5 6 7 8 9; do
    at=$((size * tenth / 10))
    head -c "$at" image > cut
    expect_exit 4 restore --detach < cut
    cp image changed
    # shellcheck disable=SC2059
    byte=$(od -An -tu1 -j "$at" -N 1 image)
    printf "\\x$(printf %02x $((byte ^ 16)))" | dd of=changed bs=1 seek="$at" conv=notrunc status=none
    expect_exit 4 restore --detach < changed
    expect_exit 4 bash -c 'cat changed | restore --detach'
    [[ ! -e /proc/$pid ]] || fail "a process is left behind"
done
restore_detached image
grows log || fail "stands still"
