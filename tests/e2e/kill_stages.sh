# kill -9 of each tool of the pipe at points spread over its life: the target runs on, no image appears,
# and the same in restore: nothing is left behind and the restore can be repeated.
start log bash -c 'while sleep 0.02; do echo $((++n)); done | cat'
until_true 10 grep -q '^3$' log
maps=$(cat "/proc/$pid/maps")

# A tool that dies after its N-th record: the wrapper kills it by pid when the stream behind it got that far.
mkdir bin
for victim in dumpfs aufsfix dumpmem imgpack; do
    for bytes in 0 1 100 1000 3000 6000 12000 30000 100000; do
        rm -f image
        freeze "$pid" -- env victim="$victim" bytes="$bytes" bash -c '
            run() {
                if [[ $1 == "$victim" ]]; then
                    # Feed it so many bytes, then kill it, then let the rest pass by.
                    mkfifo "fifo.$$" 2> /dev/null
                    "$@" < "fifo.$$" & p=$!
                    { head -c "$bytes"; sleep 0.02; kill -9 "$p"; cat > /dev/null; } > "fifo.$$"
                    wait "$p"; s=$?; rm -f "fifo.$$"; return "$s"
                fi
                "$@"
            }
            run dumpfs | run aufsfix | run dumpmem | run imgpack -o image' 2> /dev/null &
        holder=$!
        wait "$holder" && [[ ! -e image ]] && fail "$victim killed at $bytes, and freeze says done"
        [[ $(awk '/^State/ { print $2 }' "/proc/$pid/status") != [tT] ]] || fail "still held after $victim died"
    done
    grows log || fail "the target stands still after $victim died"
done

# freeze itself, at moments spread over its life.
for ms in 1 2 3 5 8 12 20 40; do
    freeze "$pid" -- bash -c 'dumpfs | aufsfix | dumpmem | imgpack -o never; sleep 1' 2> /dev/null &
    holder=$!
    sleep "0.$(printf %03d "$ms")"
    kill -9 "$holder"; wait "$holder" 2> /dev/null || true
    grows log || fail "the target stands still after freeze died at $ms ms"
done
pkill -f 'sleep 1$' || true
[[ $(cat "/proc/$pid/maps") == "$maps" ]] || fail "the address space changed: $(diff <(echo "$maps") "/proc/$pid/maps")"
awk '{ if ($1 != ++n) exit 1 }' log || fail "a number is lost or doubled"
# What a killed imgpack could not remove, the next one for the same file does.
checkpoint.sh "$pid" -o image --leave-running
[[ -z $(find . -name '.image.floe-*') ]] || fail "left behind: $(find . -name '.image.floe-*')"

# restore: killed at moments spread over its life it leaves no process behind, and works afterwards.
checkpoint_kill "$pid" good
tree=$(processes good)
for ms in 1 2 3 5 7 10 15 20 30; do
    restore --detach < good & r=$!
    sleep "0.$(printf %03d "$ms")"
    kill -9 "$r" 2> /dev/null || true
    wait "$r" 2> /dev/null || true
    end_group "$pid"
    all_gone $tree
done
restore_detached good
grows log || fail "does not come back"
kill -9 -- "-$pid"
