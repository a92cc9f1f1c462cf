# What restore does with a message queue that is gone, that is another one by now, or in which something came or went since.
export PYTHONDONTWRITEBYTECODE=1
cat > queue_.py << 'SCRIPT'
import ctypes, os, sys
sys.path.insert(0, os.environ["FLOE_FIXTURES"])
from fixture import call, libc
class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "maxmsg", "msgsize", "curmsgs", "a", "b", "c", "d")]
def made(name=b"/queue", maxmsg=5):
    return call("mq_open", name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640, ctypes.byref(Attributes(0, maxmsg, 32)))
def opened(name=b"/queue"):
    return call("mq_open", name, os.O_RDWR)
def send(queue, text):
    call("mq_send", queue, text, len(text), 0)
def count(queue):
    found = Attributes()
    call("mq_getattr", queue, ctypes.byref(found))
    return found.maxmsg, found.msgsize, found.curmsgs
SCRIPT
now() { python3 -c "from queue_ import *; import os; $1" || fail "$1"; }
cat > program.py << 'SCRIPT'
from queue_ import *
import signal, time
queue = made()
os.fchown(queue, 7, 8)
send(queue, b"first"); send(queue, b"second")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("ready", flush=True)
while signal.sigwait({signal.SIGUSR1}):
    it = os.fstat(queue)
    with open("answers", "a") as answers:
        print(*count(queue), oct(it.st_mode), it.st_uid, it.st_gid, it.st_nlink, os.readlink(f"/proc/self/fd/{queue}"), file=answers)
SCRIPT
answers() { # LINE
    rm -f answers
    kill -USR1 "$pid"
    until_true 10 grep -sq queue answers
    [[ $(cat answers) == "$1" ]] || fail "$(cat answers) instead of $1"
}
ends() { kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"; }
refuses() { # SENTENCE OPTIONS…
    local sentence=$1; shift
    expect_exit 3 restore --detach "$@" < image
    grep -q -- "$sentence" stderr || fail "it does not say \"$sentence\": $(cat stderr)"
}

start log python3 program.py
until_true 10 grep -q ready log
freeze --check "$pid" > check
grep -q '^lost: .*(/queue): messages wait in it' check || fail "$(cat check)"
expect_exit 3 freeze --check --strict "$pid"
checkpoint_kill "$pid" image
kept="0o100640 7 8 1 /queue"
# It is there, with its messages.
restore_detached image; answers "5 32 2 $kept"; ends

# Another message than those of the checkpoint.
now 'send(opened(), b"third")'
refuses "it had 2 and has 3 now (take it as it is with --on-change append:/queue)"
refuses "it had 2 and has 3 now" --on-change "append:/other"
restore_detached image --on-change append:/queue; answers "5 32 3 $kept"; ends
now 'q = opened(); [call("mq_receive", q, ctypes.create_string_buffer(32), 32, None) for _ in range(2)]'
refuses "it had 2 and has 1 now (take it as it is with --on-change accept:/queue)"
refuses "it had 2 and has 1 now" --on-change append
restore_detached image --on-change "accept:/q*"; answers "5 32 1 $kept"; ends

# It is gone: made again, and of that restore takes what it has made.
now 'call("mq_unlink", b"/queue")'
refuses "it is gone" --on-change refuse
restore_detached image 2> notes; answers "5 32 0 $kept"; ends
grep -q 'message queue /queue: made again, without its 2 messages' notes || fail "$(cat notes)"
restore_detached image 2> notes; answers "5 32 0 $kept"; ends
! grep -q 'made again' notes || fail "$(cat notes)"

# Another one has the name.
now 'call("mq_unlink", b"/queue"); made(maxmsg=4)'
refuses "another message queue has that name by now (take it as it is with --on-change accept:/queue)"
refuses "another message queue has that name by now" --on-change append
now 'call("mq_unlink", b"/queue"); made()'
refuses "another message queue has that name by now"
restore_detached image --on-change accept; answers "5 32 0 0o100640 0 0 1 /queue"; ends

# A restore that fails removes what it has made.
now 'call("mq_unlink", b"/queue")'
cat > both.py << 'SCRIPT'
from queue_ import *
kept, file = made(b"/both"), open("file", "w+")
print("ready", flush=True)
__import__("signal").pause()
SCRIPT
start both python3 both.py
until_true 10 grep -q ready both
checkpoint_kill "$pid" image
now 'call("mq_unlink", b"/both")'
echo more > file
refuses "file: "
now 'import errno
try: opened(b"/both")
except OSError as e: assert e.errno == errno.ENOENT, e
else: raise SystemExit("it is left")'
: > file
refuses "file: its content was changed"
restore_detached image --on-change accept; ends

# Somebody else is told of its messages by now.
cat > told.py << 'SCRIPT'
from queue_ import *
import signal
told = made(b"/told")
call("mq_notify", told, (ctypes.c_long * 8)(0, 1 << 32))
print("ready", flush=True)
signal.pause()
SCRIPT
start told python3 told.py
until_true 10 grep -q ready told
checkpoint_kill "$pid" image
sed 's/made(/opened(/' told.py > another.py
target=$pid
start another python3 another.py
until_true 10 grep -q ready another
refuses "process $pid is told of its messages by now"
ends
pid=$target
restore_detached image
now 'assert b"NOTIFY_PID:'"$pid"'" in os.pread(opened(b"/told"), 100, 0).split()'
ends

# Messages that come while the tree is not there are told of when it is back.
cat > signalled.py << 'SCRIPT'
from queue_ import *
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {40, 41})
for name, number in (b"/came", 40), (b"/comes", 41):
    call("mq_notify", made(name), ctypes.byref(ctypes.create_string_buffer(bytes(8) + bytes([number]), 64)))
print("ready", flush=True)
with open("came", "w") as came:
    for _ in range(2):
        info = signal.sigwaitinfo({40, 41})
        print(info.si_signo, info.si_code, file=came, flush=True)
signal.pause()
SCRIPT
start signalled python3 signalled.py
until_true 10 grep -q ready signalled
checkpoint_kill "$pid" image
now 'send(opened(b"/came"), b"x")'
refuses "it had 0 and has 1 now"
restore_detached image --on-change append:/came
until_true 10 grep -qx "40 -3" came
now 'assert b"NOTIFY_PID:0" in os.pread(opened(b"/came"), 100, 0).split(); send(opened(b"/comes"), b"y")'
until_true 10 grep -qx "41 -3" came
ends

# In another IPC namespace it is another one.
start log python3 program.py
until_true 10 grep -q ready log
checkpoint_kill "$pid" image
unshare -i bash -c 'echo $$; restore --detach < image' > out 2> stderr && fail "it is restored"
grep -q "ipc namespace" stderr || fail "$(cat stderr)"
unshare -i restore --detach --join ipc=here < image 2> notes || fail "$(cat notes)"
answers "5 32 0 $kept"; ends
