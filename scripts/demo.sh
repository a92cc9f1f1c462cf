#!/usr/bin/env bash
# A live demo: a real program is checkpointed, killed, restored, and goes on counting.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $(id -u) == 0 ]] || { echo "demo.sh: floe needs root: CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE" >&2; exit 5; }
# In a pid namespace of its own: what is killed must be waited for before its ids are free, and pid 1 of many containers waits
# for nobody, or late. There it is this shell.
if [[ ${1-} != --inside ]]; then
    PATH=$("$here/build.sh"):$here:$PATH
    export PATH
    exec unshare --pid --fork --kill-child --mount-proc "$0" --inside
fi
dir=$(mktemp -d) pid=''
# The tree is a session of its own, before and after the restore.
trap '[[ -z $pid ]] || pkill -KILL -s "$pid" || true; rm -rf "$dir"' EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# A bash script with a child and a pipe between them: nothing in it knows of floe.
cat > "$dir/counter.sh" <<'SCRIPT'
while sleep 0.2; do echo tick; done | while read -r _; do echo "$BASHPID: $((++n))"; done
SCRIPT
# Descriptors that our own shell was given belong to the world outside: restore would ask for them.
for fd in /proc/$BASHPID/fd/*; do
    fd=${fd##*/}
    ((fd < 3 || fd == 255)) || eval "exec $fd>&-"
done
setsid bash "$dir/counter.sh" > "$dir/log" 2>&1 < /dev/null &
pid=$!
sleep 2

say "1. A process tree that counts:"
ps --forest -o pid,ppid,stat,args -g "$pid" || true
tail -n 2 "$dir/log"

say "2. checkpoint.sh $pid -o image --kill"
checkpoint.sh "$pid" -o "$dir/image" --kill
wait "$pid" 2>/dev/null || true
ls -l "$dir/image"
! kill -0 "$pid" 2>/dev/null && echo "pid $pid is gone; the counter stands still:"
last=$(tail -n 1 "$dir/log"); sleep 1; tail -n 1 "$dir/log"
[[ $last == "$(tail -n 1 "$dir/log")" ]]

say "3. restore.sh image --detach"
restore.sh "$dir/image" --detach
sleep 2
ps --forest -o pid,ppid,stat,args -g "$pid" || true
tail -n 3 "$dir/log"

# Every number exactly once: nothing lost, nothing doubled.
if awk '{ if ($2 != ++n) exit 1 }' "$dir/log" && [[ $last != "$(tail -n 1 "$dir/log")" ]]; then
    say "The counter went on without a gap."
else
    say "The counter has a gap:"
    cat "$dir/log"
    exit 1
fi
