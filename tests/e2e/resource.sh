# One fixture of tests/fixtures ($1), twice. The first is left running, and must notice nothing. The second is killed, restored,
# killed and restored once more from the same image in another directory, and goes through a second generation.
ip link set lo up 2> /dev/null || true
# An instance of its own, so that the indices of pseudo terminals are free again.
mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
# Some are the init of namespaces of their own, which unshare(1) makes: `# inside: OPTIONS`.
begin() {
    local words=(env PYTHONDONTWRITEBYTECODE=1 "${@:2}" python3 "$FLOE_FIXTURES/$1.py")
    if [[ -n $inside ]]; then
        # unshare(1) has something to say when it ends.
        words=(bash -c 'exec unshare "$@" 2> said' unshare $inside --pid --fork bash -c 'exec "$@" 2>&1' bash "${words[@]}")
    fi
    start log "${words[@]}"
    until_true 30 grep -Eq "ready|SKIPPED|Error" log
    if grep SKIPPED log; then exit 0; fi
    grep -q ready log || fail "$(cat log)"
    [[ -z $inside ]] || pid=$(pgrep -P "$pid")
}
ends() { if [[ -n $inside ]]; then kill -9 "$1" 2> /dev/null || true; until_true 5 test ! -e "/proc/$1"; else end_group "$1"; fi; }
passes() {
    kill -USR1 "$pid"
    until_true 30 grep -Eq 'passed|FAILED' log
    grep -q passed log || fail "$1: $(cat log)"
}
notes=$PWD/notes pidfile=$PWD/pid
restored() { # IMAGE DIRECTORY
    (cd "$2" && restore_detached "$1" ${inside:+--pidfile "$pidfile"} 2> "$notes") || fail "$(cat "$notes")"
    [[ -z $inside ]] || pid=$(cat "$pidfile")
    # What is the same is not told to be otherwise.
    if ! grep -q '^# noted: F_GETFL' "$FLOE_FIXTURES/$fixture.py"; then
        ! grep -F F_GETFL "$notes" || fail "flags differ after the restore of $1"
    fi
    sleep 0.1
    [[ -e /proc/$pid ]] || fail "it died after the restore of $1: $(cat log)"
}

fixture=$1
inside=$(sed -n 's/^# inside: //p' "$FLOE_FIXTURES/$fixture.py")
alone=$(sed -n 's/^# alone: //p' "$FLOE_FIXTURES/$fixture.py")
[[ ! -e $alone ]] || alone "$alone"
mkdir left killed
cd left
begin "$fixture" FLOE_LEFT=1
checkpoint.sh "$pid" -o image --leave-running || fail "checkpoint: exit $?"
passes "left running"
ends "$pid"

cd ../killed
begin "$fixture"
checkpoint_kill "$pid" "$PWD/image"
restored "$PWD/image" .
pids=$(processes image)
[[ -z $inside ]] || pids=$pid
kill -9 $pids 2> /dev/null || true
all_gone $pids
restored "$PWD/image" /
checkpoint_kill "$pid" "$PWD/second"
restored "$PWD/second" .
passes restored
