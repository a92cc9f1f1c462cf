# Pid namespaces in a tree and in each other: of unshare(1) and bwrap(1), as root and as an ordinary user, through two generations.
need() { type -p "$1" > /dev/null || { echo "SKIPPED there is no $1"; exit 0; }; }
need bwrap
chmod 777 .
user="setpriv --reuid 65534 --regid 65534 --clear-groups"
cat > worker.py <<'P'
import os, signal, subprocess, threading, time
own = os.pidfd_open(os.getpid())
child = subprocess.Popen(["sleep", "infinity"])
def seen():
    """Ids as calls and as /proc have them, also of a thread."""
    ids = os.getpid(), os.getppid(), os.getpgid(0), os.getsid(0), threading.get_native_id(), child.pid, os.getpgid(child.pid)
    # No listing: an open directory of /proc of a namespace below that of the tree is refused.
    there = [pid for pid in range(1, 200) if os.path.exists(f"/proc/{pid}")]
    return ids, os.readlink("/proc/self"), there, os.getresuid()
threading.Thread(target=time.sleep, args=(100000,), daemon=True).start()
n, before = 0, seen()
while True:
    assert seen() == before, (seen(), before)
    signal.pidfd_send_signal(own, 0)
    n += 1
    print(n, flush=True)
    time.sleep(0.02)
P
last() { # PID: the last of its first children that is none of the worker's
    local child
    child=$(ps -o pid=,comm= --ppid "$1" | awk '$2 != "sleep" { print $1; exit }') || true
    if [[ -n $child ]]; then last "$child"; else echo "$1"; fi
}
ids() { grep -h ^NS /proc/"$(last "$1")"/status | tr '\n' ' '; }
look() { # LEVELS
    [[ $(ids "$pid") == "$before" ]] || fail "it has other ids: $(ids "$pid") $before"
    [[ $(grep ^NSpid "/proc/$(last "$pid")/status" | wc -w) == "$(($1 + 2))" ]] || fail "$before"
}
twice() { # LEVELS COMMAND…
    echo "${*:2}" >&2
    : > log
    chmod 666 log
    setsid "${@:2}" < /dev/null > log 2>&1 251>&- & outer=$!
    pid=$outer
    until_true 20 grep -q '^20$' log || fail "$(cat log)"
    before=$(ids "$pid")
    two_generations log "look $1"
    kill -9 "$(last "$pid")" "$pid" 2> /dev/null || true
}
worker="python3 $PWD/worker.py"
box="bwrap --ro-bind / / --bind $PWD $PWD --dev /dev --proc /proc"
twice 1 unshare -pf --mount-proc $worker
twice 2 unshare -pf --mount-proc unshare -pf --mount-proc $worker
twice 1 $box --unshare-pid $worker
twice 1 $user $box --unshare-all $worker
twice 1 $user unshare -Urpf --mount-proc $worker
# dumpmnt cannot always look below mounts that are locked there, and refuses then: not in each run.
[[ -z ${FLOE_ALL_FAULTS-} ]] || twice 2 $user $box --unshare-user --unshare-pid $box --unshare-pid $worker
