# covers: External
# Jobs that were started from a terminal, in a pipe, with redirections: what is outside of the tree is handed over.
cat > job.py <<'SCRIPT'
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "-c", "exec 5>&1; while sleep 0.02; do echo $((++n)); echo five >&5; done"])
print(pid, flush=True)
try:
    while True: os.read(terminal, 1000)
except OSError:
    pass  # the last one to have the terminal open is gone
SCRIPT
python3 job.py > job.pid & keeper=$!
until_true 10 grep -q . job.pid
sleep 0.3
pid=$(cat job.pid)
checkpoint.sh "$pid" -o terminal --kill 2> stderr || fail "$(cat stderr)"
wait "$keeper"
until_true 5 test ! -e "/proc/$pid"
restore --detach < terminal > here 2>&1
until_true 5 grep -q five here
[[ $(readlink "/proc/$pid/fd/0") == /dev/null && $(readlink "/proc/$pid/fd/5") == "$PWD/here" ]] || fail "$(ls -l "/proc/$pid/fd")"
kill -9 -- "-$pid"

# A pipe to somebody outside, and a descriptor that only --inherit can give.
cat > outside.py <<'SCRIPT'
import os, subprocess
r, w = os.pipe()
os.dup2(w, 7)
other, w = os.pipe()
os.dup2(w, 9)
null = subprocess.DEVNULL
# No shell: it writes with the pipe as its standard output, and somebody else has that.
work = "import itertools, os, time\nfor n in itertools.count(1): os.write(7, b'%d\\n' % n); time.sleep(0.02)"
job = subprocess.Popen(["python3", "-c", work],
                       pass_fds=[7, 9], stdin=null, stdout=null, stderr=null, start_new_session=True)
print(job.pid, flush=True)
while job.poll() is None: os.read(r, 1000)
SCRIPT
rm job.pid
python3 outside.py > job.pid & keeper=$!
until_true 10 grep -q . job.pid
sleep 0.3
pid=$(cat job.pid)
freeze --check "$pid" > said
grep -q "^outside: pid $pid: fd 7 (pipe:.*): a pipe whose other end is outside of the tree (.*--inherit 7" said || fail "$(cat said)"
[[ $(freeze --check --json "$pid") == *'"verdict":"outside"'* ]] || fail "no line of JSON for it"
! freeze --check --outside null "$pid" | grep outside || fail "said though it is decided"
checkpoint.sh "$pid" -o piped --kill 2> stderr || fail "$(cat stderr)"
kill -9 "$keeper"
until_true 5 test ! -e "/proc/$pid"
expect_exit 3 restore --detach < piped
grep -q "pid $pid: fd 7 (pipe:.*), fd 9 (pipe:.*): a pipe whose other end is outside of the tree (.*restore --detach --inherit 7 --inherit 9 7<>FILE 9<>FILE < .*/piped)" stderr ||
    fail "$(cat stderr)"
imgpack --list piped | has_line "^outside: pid $pid (python3): fd 7 (pipe:.*): a pipe .* (restore wants --inherit 7, " ||
    fail "$(imgpack --list piped | grep outside)"
# The command that it prints works as it stands, but for FILE.
said=$(< stderr) && [[ $said =~ 'files of yours: '([^\)]*)\) ]] || fail "$said"
command=${BASH_REMATCH[1]//FILE/seven}
eval "$command" || fail "$command"
[[ $(readlink "/proc/$pid/fd/9") == "$PWD/seven" ]] || fail "$(ls -l "/proc/$pid/fd")"
grows seven || fail "descriptor 7 leads nowhere"
kill -9 -- "-$pid"
# Who has read enough of a list ends it, and that is no failure.
for how in --list --json; do
    { sleep 0.2; imgpack "$how" piped 2> stderr; echo $? > status; } | true
    [[ $(cat status) == 0 && ! -s stderr ]] || fail "$how into a closed pipe: exit $(cat status): $(cat stderr)"
done
