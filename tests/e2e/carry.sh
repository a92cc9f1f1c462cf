# covers: CarriedFile
# Contents of files that have names travel where dumpfs is asked to (--carry), and files that are gone or have changed come back.
mkdir place
cp "$(python3 -c "import sys; print(sys.executable)")" place/python
cat > place/program.py << 'SCRIPT'
import mmap, os, sys, time
log, data = open("place/log", "a"), open("place/data", "r+b")
again = open("place/data", "rb", 0); again.seek(3)
linked = open("place/linked", "rb")
shared = mmap.mmap(data.fileno(), 8192)
program = open("place/program.py", "rb")
n = 0
while True:
    n += 1
    shared[0:8] = b"%08d" % n
    ok = again.tell() == 3 and again.read(5) == shared[3:8] and os.fstat(linked.fileno()).st_ino == os.fstat(data.fileno()).st_ino
    again.seek(3)
    names = [os.readlink(f"/proc/self/fd/{file.fileno()}") for file in (log, data, linked, program)] + [os.readlink("/proc/self/exe")]
    ok = ok and not any("floe" in name or "deleted" in name for name in names)
    print(n if ok else f"DIFFERS {names}", file=log, flush=True)
    time.sleep(0.02)
SCRIPT
head -c 9000 /dev/urandom > place/data
ln place/data place/linked
chown 7:8 place/data; chmod 640 place/data
setfattr -n user.kept -v "a value" place/data 2> /dev/null && attribute=yes || attribute=no
start out env PYTHONHOME="$(python3 -c "import sys; print(sys.base_prefix)")" PYTHONDONTWRITEBYTECODE=1 "$PWD/place/python" -S place/program.py
until_true 10 grep -sq '^3$' place/log

ends() { kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"; }
runs_on() {
    until_true 10 grows place/log
    ! grep -q DIFFERS place/log || fail "$(grep DIFFERS place/log | tail -n 1)"
    [[ -z $(find place -name '.floe-*') ]] || fail "something is left beside: $(ls -A place)"
}

checkpoint.sh "$pid" -o image --kill --carry "$PWD/place/**"
until_true 5 test ! -e "/proc/$pid"
cp -a place kept
[[ $(imgpack --list image | grep -c CarriedFile) == 4 ]] || fail "$(imgpack --list image | grep CarriedFile)"

# Everything is there: nothing is written.
restore_detached image
runs_on
ends

# All of it is gone: it is made again, as one file with two names where it was one.
rm -r place; mkdir place
restore_detached image
runs_on
[[ $(stat -c '%u %g %a' place/data) == "7 8 640" ]] || fail "$(stat place/data)"
[[ $(stat -c %i place/data) == $(stat -c %i place/linked) ]] || fail "they are two files"
cmp <(tail -c +9 place/data) <(tail -c +9 kept/data) || fail "its content differs"
cmp place/python kept/python || fail "the program differs"
[[ $(stat -c '%Y %a' place/python) == $(stat -c '%Y %a' kept/python) ]] || fail "$(stat place/python kept/python)"
[[ $attribute == no || $(getfattr --only-values -n user.kept place/data) == "a value" ]] || fail "its attribute is gone"
ends

# One that has changed is refused, unless it is asked to put that of the image there.
rm -r place; cp -a kept place
echo other > place/program.py
expect_exit 3 restore --detach < image
grep -q -- "--on-change carry" stderr || fail "$(cat stderr)"
[[ $(cat place/program.py) == other ]] || fail "it was changed"
# A restore that is killed, or fails, at one call after the other leaves everything as it was.
rm place/linked place/data
everything() { find place -type f -printf '%p %s %T@\n' -exec sha256sum {} + | sort; }
before=$(everything)
tree=$(processes image)
hits=0
at_call() { # CALL FAULT N: true when there was an N-th call to be hit
    timeout 20 strace -q -o trace -e trace="$1" -e inject="$1:$2:when=$3" restore --detach --on-change carry < image 2> stderr &&
        # There was another way: the tree lives, with its files.
        { kill -9 "$pid"; rm -r place; cp -a changed place; before=$(everything); }
    grep -Eq 'INJECTED|killed by' trace
}
cp -a place changed
for fault in signal=SIGKILL error=EIO; do
    for call in openat linkat fchown renameat renameat2 ptrace; do
        n=1
        while at_call "$call" "$fault" "$n"; do
            (all_gone $tree) || fail "processes are left after $fault at $call $n"
            until_true 5 test "$(everything)" == "$before" || fail "$fault at $call $n leaves: $(diff <(echo "$before") <(everything)) $(cat stderr)"
            ((hits += 1, n += n < 6 ? 1 : n / 2))
        done
    done
done
((hits > 30)) || fail "only $hits faults"
restore_detached image --on-change "carry:$PWD/place/*.py"
runs_on
cmp place/program.py kept/program.py || fail "that of the image is not there"
ends

# It is not made where restore is told not to.
rm place/log
expect_exit 3 restore --detach --on-change refuse < image
[[ ! -e place/log ]] || fail "it was made"

# Its directory is missing.
rm -r place
expect_exit 3 restore --detach < image
grep -q "$PWD/place" stderr || fail "$(cat stderr)"
[[ ! -e place ]] || fail "it was made"
