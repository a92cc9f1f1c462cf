# kill -9 of each tool of the pipe at points spread over its life: the target runs on, no image appears,
# and the same in restore: nothing is left behind and the restore can be repeated.
start log bash -c 'while sleep 0.02; do echo $((++n)); done | cat'
until_true 10 grep -q '^3$' log
maps=$(cat "/proc/$pid/maps")

# Each tool dies at records that it handles: fixture-killer sees to it.
rounds=0
for victim in dumpfs aufsfix dumpmem imgpack; do
    records=$((first - stride)) status=1
    until [[ $status == 0 ]]; do
        rm -f image; status=0
        freeze "$pid" -- env victim="$victim" records="$((records += stride))" bash -o pipefail -c '
            run() { if [[ $1 == "$victim" ]]; then fixture-killer "$records" "$@"; else "$@"; fi; }
            run dumpfs | run aufsfix | run dumpmem | run imgpack -o image' 2> err || status=$?
        [[ $(awk '/^State/ { print $2 }' "/proc/$pid/status") != [tT] ]] || fail "still held after $victim died"
        ((records < 1000)) || fail "$victim never comes through: exit $status: $(cat err)"
        [[ $status == 0 || ! -e image ]] || fail "an image, though $victim was killed at record $records"
    done
    ((rounds += records)); echo "$victim: $records records"
    grows log || fail "the target stands still after $victim died"
done
((rounds > 200)) || fail "only $rounds records were hit"

# Each by itself, at moments spread over its life: dumpmem writes its pages without a copy to such an imgpack.
for victim in freeze dumpfs aufsfix dumpmem imgpack; do
    for ms in 1 3 8 20 40; do
        freeze "$pid" -- bash -o pipefail -c 'dumpfs | aufsfix | dumpmem | imgpack -o never; sleep 0.1' 2> /dev/null &
        holder=$!
        sleep "0.$(printf %03d "$ms")"
        pkill -9 -x "$victim" || true
        wait "$holder" 2> /dev/null || true
        grows log || fail "the target stands still after $victim died at $ms ms"
    done
done
[[ $(cat "/proc/$pid/maps") == "$maps" ]] || fail "the address space changed: $(diff <(echo "$maps") "/proc/$pid/maps")"
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
# Not even SIGKILL leaves a part of an image.
[[ -z $(find . -name '.*floe-*') ]] || fail "left behind: $(find . -name '.*floe-*')"
checkpoint.sh "$pid" -o image --leave-running

# restore: killed at moments spread over its life it leaves no process behind, and works afterwards.
checkpoint_kill "$pid" good
tree=$(processes good)
for ms in 1 2 3 5 7 10 15 20 30; do
    restore --detach --on-change append < good & r=$!
    sleep "0.$(printf %03d "$ms")"
    kill -9 "$r" 2> /dev/null || true
    wait "$r" 2> /dev/null || true
    end_group "$pid"
    all_gone $tree
done
restore_detached good --on-change append
grows log || fail "does not come back"
kill -9 -- "-$pid"
