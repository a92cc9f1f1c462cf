# An ordinary user is told which capability is missing, by --check and by freeze alike, before anything is stopped.
chmod 755 .
mkdir bin
cp "$FLOE_TOOLS"/{freeze,dumpfs,aufsfix,dumpmem,imgpack} bin/
user=(setpriv --reuid 1000 --regid 1000 --clear-groups)
able=("${user[@]}" --inh-caps +checkpoint_restore --ambient-caps +checkpoint_restore)

refused() { # CAPABILITY PID COMMAND…
    local capability=$1 of=$2; shift 2
    expect_exit 5 "$@" bin/freeze --check "$of"
    cp stderr said
    grep -q "not permitted: needs $capability\$" said || fail "$(cat said)"
    expect_exit 5 "$@" bin/freeze "$of" -- true
    cmp stderr said || fail "freeze says something else: $(cat stderr)"
    # It was not even asked to stand still.
    [[ $(strace -f -e trace=ptrace "$@" bin/freeze "$of" -- true 2>&1) != *PTRACE_SEIZE* ]] || fail "it was seized"
}

start own "${user[@]}" --bounding-set -all --inh-caps -all sleep 1000
refused CAP_CHECKPOINT_RESTORE "$pid" "${user[@]}"
expect_exit 0 "${able[@]}" bin/freeze --check "$pid"
mkdir -m 777 out
"${able[@]}" bin/freeze "$pid" | "${able[@]}" bin/dumpfs | "${able[@]}" bin/aufsfix | "${able[@]}" bin/dumpmem |
    "${able[@]}" bin/imgpack -o out/image || fail "with the capability: ${PIPESTATUS[*]}"
kill "$pid"
wait "$pid" || true
restore_detached out/image
kill "$pid"

# Of somebody else: the root of the tree, and a child.
start other sleep 1000
refused CAP_SYS_PTRACE "$pid" "${able[@]}"
kill "$pid"
start family setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps +setuid --ambient-caps +setuid bash -c \
    'setpriv --reuid 2000 --inh-caps -all --ambient-caps -all sleep 1000 &
    exec setpriv --inh-caps -all --ambient-caps -all sleep 1000'
until_true 5 pgrep -u 2000 sleep
refused CAP_SYS_PTRACE "$pid" "${able[@]}"
pkill -u 1000,2000

# One who has entered the pid namespace of a tree alone, or its mount namespace alone, sees other processes than the kernel
# means.
unshare --pid --fork --mount-proc sleep 1000 &
until_true 5 pgrep -P $! sleep
init=$(pgrep -P $! sleep)
for half in "-p" "-m"; do
    for what in "bin/freeze --check 1" "bin/freeze $init -- true" "$FLOE_TOOLS/restore --detach"; do
        # shellcheck disable=SC2086  # words
        expect_exit 3 nsenter -t "$init" "$half" --wd="$PWD" $what < out/image
        grep -q "/proc: it shows another pid namespace" stderr || fail "$half: $(cat stderr)"
    done
done
expect_exit 0 nsenter -t "$init" -p -m --wd="$PWD" bin/freeze --check 1
kill -9 "$init"
