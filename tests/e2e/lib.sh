# Helpers of the scenarios. Each runs as pid 1's child in a namespace of its own, in an empty directory.

fail() { echo "FAIL: $*" >&2; exit 1; }

# Descriptors that the caller of the suite left open belong to nobody here.
for n in /proc/$$/fd/*; do
    n=${n##*/}
    ((n < 3 || n == 255)) || eval "exec $n>&-"
done
export TMPDIR=$PWD
# How this machine has set up its engines is none of the tests' business.
[[ ! -d /etc/criu ]] || mount -t tmpfs none /etc/criu

# start LOG COMMAND…: runs COMMAND as a session of its own, with stdin from /dev/null and output to LOG.
start() {
    local log=$1; shift
    setsid "$@" < /dev/null > "$log" 2>&1 8<&- &
    pid=$!
    while not_yet "$pid"; do sleep 0.01; done
    sleep 0.05
}

# Has child PID not yet become the command of start? What the command becomes in turn may have any name.
not_yet() {
    local first
    cmp -s "/proc/$1/cmdline" /proc/$$/cmdline && return 0
    { IFS= read -rd '' first < "/proc/$1/cmdline"; } 2> /dev/null && [[ $first == setsid ]]
}

# until_true SECONDS COMMAND… (FLOE_PATIENCE times as long on an emulated machine)
until_true() {
    local deadline=$((SECONDS + $1 * ${FLOE_PATIENCE:-1})); shift
    until "$@"; do
        ((SECONDS < deadline)) || { echo "timed out waiting for: $*" >&2; return 1; }
        sleep 0.05
    done
}

# work_goes_on LINE…: what runs as $pid is killed and restored when each line has come in ./log, and has passed in the end.
work_goes_on() {
    local line
    for line; do
        until_true 60 grep -qx "$line" log || fail "$(cat log)"
        checkpoint_kill "$pid" image
        restore_detached image
    done
    until_true 60 grep -Eq 'passed|FAILED|DIFFERS|Error' log
    tail -n 1 log | has_line passed || fail "$(cat log)"
    until_true 5 test ! -e "/proc/$pid"
}

# alone FILE: waits until no other scenario has this file of the machine for itself, and has it until it ends.
alone() {
    exec 8< "$1"
    flock 8
}

# Ends the process group PID and waits until nothing holds its ids any more, children of the leader included.
end_group() { # PID
    kill -9 -- "-$1" 2> /dev/null || true
    wait "$1" 2> /dev/null || true
    until_true 5 no_group "$1"
}
no_group() { ! kill -0 -- "-$1" 2> /dev/null; }

processes() { # IMAGE: their pids
    imgpack --json "$1" | python3 -c 'import json, sys
for line in sys.stdin:
    r = json.loads(line)
    if r.get("name") == "Process": print(r["body"]["pid"])'
}

all_gone() { # PIDS…
    local p
    for p; do until_true 5 test ! -e "/proc/$p" || fail "process $p is left"; done
}

# Tests that have one operation after the other fail take every $stride-th of them, from the $first-th on, which is another one each time;
# all of them with scripts/test.sh --all.
stride=5
[[ -z ${FLOE_ALL_FAULTS-} ]] || stride=1
first=$((RANDOM % stride))

# Behind a pipe, in place of grep -q: that ends at the first match, and what still writes then fails of a broken pipe.
has_line() { grep "$@" > /dev/null; }

grows() { # FILE: does it grow within the next seconds?
    local before after
    before=$(stat -c %s "$1")
    for _ in {1..100}; do
        after=$(stat -c %s "$1")
        ((after > before)) && return 0
        sleep 0.05
    done
    return 1
}

# Gone, or not dead: the parent of a zombie has yet to wait for it.
is_reaped() { ! grep -qs '^State:.*Z' "/proc/$1/status"; } # PID

checkpoint_kill() { # PID FILE
    checkpoint.sh "$1" -o "$2" --kill || fail "checkpoint of $1: exit $?"
    wait "$1" 2> /dev/null || true
    # The parent of one in a pid namespace of its own is not this shell.
    until_true 5 is_reaped "$1" || true
    [[ ! -e /proc/$1 ]] || fail "pid $1 is still there: $(grep State "/proc/$1/status")"
}

restore_detached() { # FILE OPTIONS…
    local image=$1; shift
    restore.sh "$image" --detach "$@" || fail "restore of $image: exit $?"
}

# two_generations FILE CHECK [RESTORE-OPTION…]: the tree of $pid is killed and restored twice; behind each FILE grows and CHECK, a
# command, holds, and FILE has each number once in the end.
two_generations() {
    local file=$1 check=$2 round
    shift 2
    for round in 1 2; do
        expect_exit 0 freeze --check "$pid"
        rm -f image
        checkpoint.sh "$pid" -o image --kill || fail "checkpoint $round: exit $?"
        wait "$outer" 2> /dev/null || true
        restore_detached image --pidfile pid "$@"
        pid=$(cat pid)
        grows "$file" || fail "it stands still after restore $round: $(cat "$file")"
        $check
    done
    awk '$1 != ++n { exit 1 }' "$file" || fail "a number is lost or doubled: $(cat "$file")"
}

expect_exit() { # CODE COMMAND…: runs it, keeps its stderr in ./stderr
    local want=$1 got=0; shift
    "$@" 2> stderr || got=$?
    [[ $got == "$want" ]] || fail "exit $got instead of $want: $* $(cat stderr)"
}

# cluster: a PostgreSQL cluster in ./data, of a user that "${user[@]}" becomes, in a new directory; number SQL asks its server.
cluster() {
    local bin
    bin=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | tail -n 1)
    if [[ -z $bin ]] || ! type -p psql > /dev/null; then echo "SKIPPED there is no PostgreSQL with psql"; exit 0; fi
    export PATH=${bin%/*}:$PATH
    chmod 755 "$PWD" && mkdir db && chown 1000:1000 db && cd db
    user=(setpriv --reuid 1000 --regid 1000 --clear-groups)
    # The server asks for the name of its user.
    echo "floe:x:1000:1000::/:/bin/sh" >> ../passwd && mount --bind ../passwd /etc/passwd
    "${user[@]}" initdb -D data -U floe > init.log 2>&1 || fail "$(cat init.log)"
}
number() { "${user[@]}" psql -h "$PWD" -U floe -At -c "$1" postgres; }

# with_libraries ROOT PATH…: files and directories of this system below another root, with the libraries that programs among them are
# linked with.
with_libraries() {
    local root=$1 path file
    shift
    for path; do
        for file in "$path" $({ ldd "$path" 2> /dev/null || true; } | grep -o '/[^ )]*' | sort -u); do
            mkdir -p "$root${file%/*}"
            [[ -e $root$file ]] || cp -rL "$file" "$root$file"
        done
    done
}

# mount_cgroups "TYPE OPTION"…: mounts those hierarchies that can be, below ./tops; their directories in the array tops.
mount_cgroups() {
    local words dir
    tops=()
    for words; do
        dir=$PWD/tops/${words##*[ =]}
        mkdir -p "$dir"
        if mount -t "${words% *}" -o "${words#* }" none "$dir" 2> /dev/null; then tops+=("$dir"); fi
    done
    if ((${#tops[@]} == 0)); then echo "SKIPPED no cgroup can be made"; exit 0; fi
}

# another_machine SCENARIO NETWORK: runs the scenario in a network namespace of its own, with an interface to another one, as to
# another machine: here is NETWORK.1, there NETWORK.2. away COMMAND… runs there; $there is a process that keeps it.
another_machine() {
    if [[ -z ${ALONE-} ]]; then
        ALONE=1 exec unshare -n bash -euo pipefail -c '. "$0/lib.sh"; . "$0/$1.sh"' "$dir" "$1"
    fi
    dir=$0
    ip link set lo up
    unshare -n sleep infinity & there=$!
    # A link that cannot be read is not another one.
    until_true 10 eval 'new=$(readlink /proc/$there/ns/net) && [[ $new != $(readlink /proc/self/ns/net) ]]'
    ip link add near type veth peer name far netns "$there"
    ip addr add "$2.1/24" dev near
    ip link set near up
    away ip addr add "$2.2/24" dev far
    away ip link set far up
    away ip link set lo up
}
away() { nsenter -n -t "$there" "$@"; }

# no_table WHAT: fails where a table of the packet filter is left.
no_table() {
    if type -p nft > /dev/null; then
        until_true 5 eval '[[ -z $(nft list tables) ]]' || fail "$1 leaves $(nft list ruleset)"
    fi
}
