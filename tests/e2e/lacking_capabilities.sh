# What restore would need a capability for that it does not have is refused before anything is killed: by freeze itself, and by
# the plan of the whole image.
start log sleep 1000
lacking=(setpriv --bounding-set -sys_nice --inh-caps -sys_nice)
for way in "freeze --then kill $pid -- cat" "checkpoint.sh $pid -o image --kill"; do
    # shellcheck disable=SC2086  # words
    expect_exit 3 "${lacking[@]}" $way > /dev/null
    grep -q "it holds CAP_SYS_NICE, which restore has not" stderr || fail "$way: $(cat stderr)"
    until_true 5 grep -q '^State:.S' "/proc/$pid/status"
done
checkpoint_kill "$pid" image
expect_exit 3 "${lacking[@]}" restore --detach < image
grep -q "it holds CAP_SYS_NICE" stderr || fail "$(cat stderr)"

# A hard limit that cannot be raised again.
start log bash -c 'ulimit -c 1000; exec sleep 1000'
low=(bash -c 'ulimit -Hc 10; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource "$@"' low)
for way in "freeze --then kill $pid -- cat" "checkpoint.sh $pid -o image --kill"; do
    # shellcheck disable=SC2086  # words
    expect_exit 3 "${low[@]}" $way > /dev/null
    grep -q "RLIMIT_CORE: it was 1024000, and cannot be raised above 10240 here" stderr || fail "$way: $(cat stderr)"
    until_true 5 grep -q '^State:.S' "/proc/$pid/status"
done
kill -9 "$pid"
