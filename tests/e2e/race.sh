# Something that cannot be captured appears at some moment while freeze looks at the target and stops it ($1: a fixture's
# word, see tests/fixtures/race.py). Each checkpoint is either refused, or holds a tree without it; the target runs on.
start log env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$FLOE_FIXTURES" python3 "$FLOE_FIXTURES/race.py" "$1"
until_true 10 grep -q ready log
# Runs as COMMAND, while the tree is held: what is there in spite of all looks?
cat > held.sh <<'SCRIPT'
imgpack -o image
tree() { local child; echo "$1"; for child in $(cat "/proc/$1/task/"*/children); do tree "$child"; done; }
for process in $(tree "$1"); do
    [[ $(readlink "/proc/$process/ns/pid_for_children") == "$(readlink /proc/self/ns/pid)" ]] || echo "process $process stands apart" >> lost
    for fd in "/proc/$process/fd/"*; do
        [[ $(readlink "$fd") != anon_inode:*fanotify* ]] || echo "process $process has $fd" >> lost
    done
    imgpack --json image | grep "\"name\":\"Process\",\"body\":{\"pid\":$process," > /dev/null || echo "process $process is not in the image" >> lost
done
SCRIPT
# How long freeze takes until the tree stands still, microseconds: the longest of a few times.
took=0
for _ in {1..5}; do
    began=$EPOCHREALTIME
    freeze "$pid" -- bash -c 'echo "$EPOCHREALTIME" > stands; cat > /dev/null' 2> stderr || fail "it is refused: $(cat stderr)"
    stands=$(cat stands)
    ((${stands/.} - ${began/.} <= took)) || took=$((${stands/.} - ${began/.}))
done
declare -A seen=([0]=0 [3]=0)
for round in {1..40}; do
    code=0
    # Spread over that time.
    delay=$((took * RANDOM / 32768))
    (sleep "$((delay / 1000000)).$(printf %06d $((delay % 1000000)))"; kill -USR2 "$pid") &
    freeze "$pid" -- bash held.sh "$pid" 2> stderr || code=$?
    wait $! || fail "the target is gone"
    [[ $code == 0 || $code == 3 ]] || fail "round $round: exit $code: $(cat stderr)"
    ((++seen[$code]))
    for status in /proc/[0-9]*/status; do
        tracer=$(awk '/^TracerPid/ { print $2 }' "$status" 2> /dev/null) || continue
        [[ ${tracer:-0} == 0 ]] || fail "round $round: $status is still traced"
    done
    # It answers, and is as before.
    lines=$(wc -l < log)
    kill -USR1 "$pid"
    until_true 10 bash -c "((\$(wc -l < log) > $lines))" || fail "round $round: it does not answer: $(cat log)"
done
echo "${seen[0]} captured, ${seen[3]} refused, in $took us"
[[ ! -e lost ]] || fail "captured, and lost: $(sort lost | uniq -c)"
((seen[0] > 0 && seen[3] > 0)) || fail "no race: ${seen[0]} captured, ${seen[3]} refused"
