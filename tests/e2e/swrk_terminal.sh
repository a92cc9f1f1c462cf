# covers: OutsideTerminal
# A terminal whose master an engine has: it is made again under its number, with modes, size, session and foreground, and the engine is
# given the new master.
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 none /dev/pts
mkdir bin images
ln -s "$FLOE_TOOLS/criu-front" bin/criu
export PATH=$PWD/bin:$PATH
cat > program.py << 'SCRIPT'
import fcntl, os, signal, struct, sys, termios, tty
def job(*_):
    size = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    modes = termios.tcgetattr(0)
    print("size", size[:2], "tty", os.ttyname(0), "mine", os.tcgetpgrp(0) == os.getpgrp(), "erase", ord(modes[6][termios.VERASE]), "sid", os.getsid(0) == os.getpid(), flush=True)
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
modes = termios.tcgetattr(0)
modes[3] &= ~termios.ECHO
modes[6][termios.VERASE] = b"\x07"
termios.tcsetattr(0, termios.TCSANOW, modes)
other = open("/dev/tty")
open("pid", "w").write(str(os.getpid()))
while True:
    line = other.readline() if os.path.exists("other") else sys.stdin.readline()
    if line.strip() == "end": sys.exit(9)
    print("got", line.strip(), flush=True)
    job()
SCRIPT
cat > first.py << 'SCRIPT'
import fcntl, os, pty, struct, sys, termios, time
pid, master = pty.fork()
if pid == 0: os.execvp("python3", ["python3", "program.py"])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
while not os.path.exists("pid"): time.sleep(0.05)
time.sleep(0.3)
os.write(master, b"one\n"); time.sleep(0.3)
open("said", "w").write(os.read(master, 1000).decode())
os.waitpid(pid, 0)
SCRIPT
want="size (33, 77) tty /dev/pts/0 mine True erase 7 sid True"
setsid python3 first.py 251>&- &
until_true 20 test -s said
grep -qF "$want" said || fail "$(cat said)"
pid=$(cat pid)
engine() { python3 "$dir/engine.py" "$@"; }
engine dump pid="$pid" images=images notify_scripts=1 > refused && fail 'a terminal of the outside was not refused'
grep -q '^dump no .*a terminal' refused || fail "$(cat refused)"
for round in 1 2; do
    engine dump pid="$pid" images=images notify_scripts=1 orphan_pts_master=1 > dumped || fail "$(cat dumped images/criu.log)"
    until_true 10 test ! -e "/proc/$pid"
    ((round == 2)) && : > other
    end='end\n'
    ((round == 1)) && end='three\n'
    rm -f told
    engine restore images=images notify_scripts=1 orphan_pts_master=1 log_file=restore.log --type "two\\n|\\x03|$end" --wait > told 2>&1 &
    engine=$!
    until_true 20 grep -q 'interrupted' told || fail "$(cat told images/restore.log)"
    grep -qF "$want" told || fail "round $round: $(cat told)"
    grep -q '^notify orphan-pts-master.*+fd' told || fail "$(cat told)"
    ((round == 1)) || break
done
wait "$engine" || true
grep -qx 'root 9' told || fail "$(cat told)"
