# What dies while a container of runc is captured or restored: it runs on, or nothing of it is left, and it can be done again.
. "$dir/containers.sh"
bundle sh -c 'while read -r line; do echo "got $line"; done' << 'SCRIPT'
config["hostname"] = "boxy"
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
no_tools() { ! ps -eo stat=,comm= | grep -v '^Z' | has_line -E ' (freeze|dumpmnt|dumpfs|aufsfix|dumpmem|imgpack|restore|criu|runc)$'; }
no_box() { ! pgrep -f '^sh -c while read' > /dev/null; }
killed=0
for victim in criu freeze dumpmnt dumpfs dumpmem imgpack; do
    for ms in 10 20 40 70 110; do
        box checkpoint --image-path "$PWD/images" --work-path "$PWD/work" --leave-running "$id" > said 2>&1 3>&- 251>&- &
        runc=$!
        sleep "0.$(printf %03d "$ms")"
        pkill -9 -x "$victim" && ((killed += 1))
        wait "$runc" || true
        until_true 10 no_tools
        runs || fail "$victim was killed after $ms ms, and it stands still: $(cat said)"
        [[ $(status_of_box) == running ]] || fail "$(status_of_box)"
    done
done
((killed > 5)) || fail "only $killed were killed"
checkpoint_box
until_true 10 no_box
killed=0
for victim in restore criu runc; do
    for ms in 5 15 30 45 60 90; do
        streams
        box restore -d --bundle "$PWD/bundle" --image-path "$PWD/images" --work-path "$PWD/work" "$id" <&4 >&5 2> said 3>&- 4>&- 5>&- 251>&- &
        runc=$!
        exec 4>&- 5>&-
        sleep "0.$(printf %03d "$ms")"
        if ! pkill -9 -x "$victim"; then
            # It was done already, or had not begun.
            wait "$runc" && { runs || fail 'it stands still'; }
        else
            ((killed += 1))
            wait "$runc" || true
            until_true 10 no_tools
            # A tree that was let go in the meantime lives as a whole.
            until_true 1 no_box 2> /dev/null || runs || fail "$victim was killed after $ms ms, and half of it is left: $(ps -ef)"
        fi
        # A runc that was killed leaves the root bound where the next one removes all.
        while umount -l "state/$id/criu-root" 2> /dev/null; do :; done
        box delete -f "$id" > deleted 2>&1 || true
        pkill -9 -f '^sh -c while read' || true
        until_true 10 no_box || fail "$(ps -ef)"
        if [[ -d state/$id ]]; then
            rmdir "state/$id/criu-root" 2> /dev/null || true
            rm -f "state/$id"/*
            rmdir "state/$id"
        fi
    done
done
((killed > 3)) || fail "only $killed were killed"
restore_box
runs || fail "it stands still: $(cat work/restore.log)"
[[ $(status_of_box) == running ]] || fail "$(status_of_box)"
delete_box
