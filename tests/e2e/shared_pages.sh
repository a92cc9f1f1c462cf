# Pages shared since fork(2): stored once, shared again, and left shared in a target that runs on.
pss() { awk '/^Pss_Anon:/ { sum += $2 } END { print sum }' "${@/%//smaps_rollup}"; } # DIRECTORIES of /proc: KiB
family() { local found=(/proc/"$pid" $(pgrep -P "$pid" | sed 's|^|/proc/|')); echo "${found[@]}"; }
size() { echo $(($(stat -c %s "$1") >> 10)); }
below() { # WHAT NUMBER LIMIT
    echo "$1: $2 KiB"
    (($2 < $3)) || fail "$1: $2 KiB, and $3 are too many"
}

cat > family.py <<'SCRIPT'
import os, signal, sys
memory = bytearray(os.urandom(32 << 20))
r, w = os.pipe()
for _ in range(20):
    if os.fork() == 0:
        os.write(w, b"x")
        while True: signal.pause()
for _ in range(20): os.read(r, 1)
print("ready", flush=True)
while True: signal.pause()
SCRIPT
start log python3 family.py
until_true 20 grep -q ready log
before=$(pss $(family))
checkpoint.sh "$pid" -o running --leave-running || fail "checkpoint: exit $?"
below "shared memory of a target that runs on" "$(pss $(family))" $((before + before / 20))
checkpoint_kill "$pid" image
below "image of 21 processes with 32 MiB" "$(size image)" $((40 << 10))
restore_detached image
below "shared memory after a restore" "$(pss $(family))" $((before + before / 20))
end_group "$pid"
cat running | restore --detach
below "shared memory after a restore from a pipe" "$(pss $(family))" $((before + before / 20))
checkpoint_kill "$pid" again
below "image of the second generation" "$(size again)" $((40 << 10))
imgpack --verify again

# Frames of memory are of no use, so no capability is needed to see them.
restore_detached again
freeze "$pid" | dumpfs | aufsfix | setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin dumpmem | imgpack -o unprivileged
below "image without CAP_SYS_ADMIN" "$(size unprivileged)" $((40 << 10))
end_group "$pid"

# Small processes are little more than what they are told of.
start log fixture-bench 1 "$PWD/gaps" --processes 300
until_true 20 test -s gaps
checkpoint_kill "$pid" small
below "image of 300 small processes" "$(size small)" $((1024 + 300 * 11))
restore_detached small --on-change append
[[ $(family | wc -w) == 301 ]] || fail "not all came back"
end_group "$pid"
