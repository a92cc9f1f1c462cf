# The rows of bench.sh about images of what has changed (doc/freeze.md), against full ones.

# The target has written a part of its memory since a full image.
changes() {
    local lines before
    rm -f "$dir/base" "$dir/whole"
    fresh
    lines=$(wc -l < "$dir/gaps")
    clock checkpoint.sh "$pid" -o "$dir/base" --track --no-sync || return
    add full checkpoint "$took"
    stat -c %s "$dir/base" > "$dir/times/full.size"
    sleep 0.1
    add full pause "$(pause_since "$lines")"

    asked USR2 wrote
    asked USR1 hash
    before=$answer
    touched
    lines=$(wc -l < "$dir/gaps")
    clock checkpoint.sh "$pid" -o "$dir/image" --since "$dir/base" --no-sync || return
    add floe checkpoint "$took"
    stat -c %s "$dir/image" > "$dir/times/floe.size"
    sleep 0.1
    add floe pause "$(pause_since "$lines")"

    stop
    clock imgpack --no-sync -o "$dir/whole" --merge "$dir/base" "$dir/image" || return
    add floe merge "$took"
    # The target has noted its pause since.
    clock restore.sh "$dir/whole" --detach --on-change "append:$dir/gaps" || return
    asked USR1 hash
    [[ $answer == "$before" ]] || { echo "the memory is another behind the restore" > "$dir/stderr"; return 1; }
}

dirty() {
    local round percent=${row#dirty}
    memory=$(scaled 1024 16)
    size=$memory situation=("$memory" --dirty "$percent")
    limits $((memory * percent / 100 + 1))
    for ((round = 0; round < rounds; round++)); do
        target
        changes || failed floe "image of what has changed"
        stop
    done
    title
    line checkpoint ms 1000 "$writing" full
    line pause ms 1 '' full
    line size MiB 0.00000095367 '' full
    line merge ms 1000
    note "$percent % of $memory MiB are written between two images; the memory is the same behind each of $rounds restores of both together"
}
