# A tool that fails says why, and the tools behind it end with its exit code and without a word.
cat > parent.py <<'SCRIPT'
import os, time
file = open(f"/proc/{os.getppid()}/status")
open("ready", "w").close()
while True: time.sleep(1)
SCRIPT
start log python3 parent.py
until_true 10 test -e ready

only() { # TOOL: is it the only one that says something?
    [[ -s stderr && -z $(grep -v "^$1: " stderr) ]] || fail "more than $1: $(cat stderr)"
}
codes() { # COMMAND: the exit codes of a pipe
    bash -c "$1"'; echo "${PIPESTATUS[@]}"' 2> stderr
}

# A file in /proc of a process outside cannot be captured; whichever tool finds out, it alone says so.
expect_exit 3 checkpoint.sh "$pid" -o image --leave-running
only "$(sed -n '1s/:.*//p' stderr)"
expect_exit 3 checkpoint.sh "$pid" -o image --kill
only "$(sed -n '1s/:.*//p' stderr)"
[[ ! -e image ]] || fail "an image of what was refused"
kill -0 "$pid" || fail "killed, though refused"
kill -9 "$pid"

start log bash -c 'while sleep 0.05; do echo $((++n)); done'
until_true 10 grep -q '^3$' log
freeze "$pid" > stream
# Damage: the code of it all the way, a sentence from the first only.
head -c 3000 stream > cut
[[ $(codes 'dumpmem < cut | aufsfix | imgpack -o image') == "4 4 4" ]] || fail "$(cat stderr)"
only dumpmem
[[ $(codes 'imgpack --unpack cut | restore') == "4 4" ]] || fail "$(cat stderr)"
only imgpack
[[ $(codes 'imgpack < cut | restore') == "4 4" ]] || fail "$(cat stderr)"
only imgpack
# A tool that was killed leaves nothing: that is damage, and is said.
[[ $(codes '(sleep 0.3; kill -9 $BASHPID) | dumpmem | imgpack -o image') == "137 4 4" ]] || fail "$(cat stderr)"
only dumpmem
grep -q 'the input is empty' stderr || fail "$(cat stderr)"
# Nothing of the kind goes to a file or a foreign tool.
[[ $(codes 'aufsfix < cut | cat > out') == "4 0" ]] || fail "$(cat stderr)"
expect_exit 4 imgpack --verify out
only imgpack
expect_exit 4 bash -c 'aufsfix < cut > out'
expect_exit 4 imgpack --verify out
[[ ! -e image ]] || fail "an image of damage"
grows log || fail "the target stands still"
kill -9 -- "-$pid"
