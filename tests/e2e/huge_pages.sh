# Too few pages of hugetlbfs: restore says so before it makes anything, and how to get them.
pool=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
[[ -e $pool ]] || { echo "SKIPPED this kernel has no hugetlbfs"; exit 0; }
alone "$pool"
had=$(cat "$pool")
echo $((had + 8)) > "$pool"
(($(cat "$pool") == had + 8)) || { echo "$had" > "$pool"; echo "SKIPPED no huge pages can be reserved"; exit 0; }
trap 'echo "$had" > "$pool"' EXIT
start log python3 -c '
import mmap, time
at = mmap.mmap(-1, 8 << 21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)
at[3 << 21] = 7
print("ready", flush=True)
while True:
    time.sleep(0.1)
    print(at[3 << 21], flush=True)'
until_true 10 grep -q 7 log
checkpoint_kill "$pid" image
echo $((had + 5)) > "$pool"
expect_exit 3 restore.sh image --detach
grep -q 'huge pages of 2048 KiB: 8 are needed, [0-9]* are free' stderr || fail "$(cat stderr)"
grep -Eq "write a number that is [0-9]+ larger into $pool" stderr || fail "$(cat stderr)"
[[ ! -e /proc/$pid ]] || fail "it was made all the same"
echo $((had + 8)) > "$pool"
restore_detached image
: > log
until_true 10 grep -q 7 log
end_group "$pid"
