# covers: PtyMaster PtySlave Pty
# Programs that draw, each in a pseudo terminal of the tree: they draw the same when they come back, and go on with the same keys.
mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
cat > drive.py <<'SCRIPT'
import array, fcntl, os, pty, re, select, signal, struct, sys, termios, time

class Program:
    """A program in a pseudo terminal of 24 lines and 80 columns."""
    def __init__(self, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
            os.environ.update(TERM="xterm", LESS="", PS1="$ ", HISTFILE="", VIMINIT="set nocp noswf nosmd")
            # A shell without job control has had them ignored.
            for key in signal.SIGINT, signal.SIGQUIT: signal.signal(key, signal.SIG_DFL)
            os.execvp(words[0], words)
        self.said = b""
    def reads(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            self.said += os.read(self.fd, 65536)
        except OSError:
            return False
        return True
    def types(self, text):
        self.said = b""
        os.write(self.fd, text.encode())
    def says(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not re.search(pattern.encode(), self.said, re.S):
            left = deadline - time.monotonic()
            assert left > 0 and (self.reads(left) or re.search(pattern.encode(), self.said, re.S)), \
                f"no {pattern!r} in {self.said!r}"
    def draws(self, key):
        """What it draws at this key, when it draws all."""
        for _ in range(2):  # What is left of earlier keys is drawn with the first.
            while self.reads(0.7): pass
            self.types(key)
            self.says(".")
        while self.reads(0.7): pass
        # tmux asks for other codes of keys again when some time has passed.
        return self.said.replace(b"\x1b[?7727h", b"")
    def ends(self, status=0):
        while self.reads(10): pass
        assert os.waitpid(self.pid, 0)[1] == status

count = 0
def taken(program=None, redraw=None):
    """A checkpoint and a restore, behind which it draws what it did."""
    global count
    before = redraw and program.draws(redraw)
    count += 1
    print("step", count, flush=True)
    while not os.path.exists(f"go.{count}"): time.sleep(0.02)
    if redraw:
        after = program.draws(redraw)
        assert after == before, f"{before!r}\n{after!r}"

def less():
    it = Program("less", "lines"); it.says("lines\x1b")
    it.types("100g"); it.says("122")
    taken(it, "\x0c")
    it.types("/^777$\n"); it.says("799"); it.types("q"); it.ends()

def vim():
    it = Program("vim", "text"); it.says("~")
    it.types("ihello, ")
    it.says("hello")
    taken()
    it.types("world\x1b"); it.says("world")
    taken(it, "\x0c")
    it.types("yyp:s/hello/bye/\n"); it.says("bye, world")
    it.types(":wq\n"); it.ends()
    assert open("text").read() == "hello, world\nbye, world\n"

def top():
    it = Program("top", "-d", "0.5"); it.says("load average")
    taken()
    it.said = b""; it.says("Tasks:.*%Cpu")
    fcntl.ioctl(it.fd, termios.TIOCSWINSZ, struct.pack("4H", 12, 60, 0, 0)); it.said = b""; it.says("Tasks:")
    it.types("q"); it.ends()

def script():
    it = Program("script", "-q", "-c", "PS1='$ ' bash --norc --noediting -i", "typescript"); it.says(r"\$ ")
    it.types("x=kept; sleep 1000 | cat\n"); it.says("cat\r\n")
    time.sleep(1)  # It says nothing when it has given the terminal away.
    taken()
    it.types("\x1a"); it.says(r"Stopped.*\$ ")
    it.types("jobs; echo $x $(tty)\n"); it.says(r"Stopped.*kept /dev/pts/\d+\r\n")
    taken()
    it.types("fg\n"); it.says("sleep 1000"); time.sleep(1)
    it.types("\x03"); it.says(r"\$ ")
    # Typed ahead, while nobody reads.
    it.types("sleep 2; read a; read b; echo \"<$a|$b>\"\n"); it.says("read b")
    os.write(it.fd, b"first\nsec"); it.says("first\r\nsec")
    taken()
    os.write(it.fd, b"\x7fe\n"); it.says("<first|see>")
    it.types("exit 3\n"); it.ends()
    assert "<first|see>" in open("typescript", newline="").read()

def readline():
    it = Program("bash", "--norc", "-i"); it.says(r"\$ ")
    it.types("echo un"); it.says("un")
    taken()
    it.types("done\n"); it.says(r"[\r\n]undone\r\n")
    it.types("\x1b[A"); it.says("echo undone"); it.types("\n"); it.says(r"[\r\n]undone")
    it.types("exit\n"); it.ends()

def tmux():
    tmux = ["tmux", "-S", "socket", "-f", "/dev/null"]
    server = os.fork()
    if server == 0:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.environ.update(PS1="$ ", HISTFILE="", SHELL="/bin/sh")
        for key in signal.SIGINT, signal.SIGQUIT: signal.signal(key, signal.SIG_DFL)
        os.execvp("tmux", [*tmux, "-D"])
    while not os.path.exists("socket"): time.sleep(0.02)
    it = Program(*tmux, "new-session", "PS1='$ ' bash --norc --noediting"); it.says(r"\$ ")
    def asks(*words):
        assert os.spawnvp(os.P_WAIT, "tmux", [*tmux, *words]) == 0, words
    asks("set", "-g", "status", "off")
    asks("split-window", "-h", "PS1='$ ' bash --norc --noediting"); it.says(r"\$ ")
    it.types("echo right $((6*7))\n"); it.says("right 42")
    asks("select-pane", "-L")
    it.types("cat\n"); it.types("left\n"); it.says("left.*left")
    taken(it, "\x02r")
    it.types("again\n"); it.says("again.*again")
    it.types("\x03"); asks("select-pane", "-R")
    it.types("echo more $((6*9))\n"); it.says("more 54")
    asks("kill-session"); it.says("exited"); it.ends()
    os.kill(server, signal.SIGTERM); os.waitpid(server, 0)

print("begun", flush=True)
for name in sys.argv[1:]:
    globals()[name]()
    print(name, "is done", flush=True)
print("passed", flush=True)
SCRIPT
seq 1000 > lines
programs=(readline)
for program in less vim top script tmux; do
    if command -v "$program" > /dev/null; then programs+=("$program"); else echo "SKIPPED there is no $program"; fi
done
start log python3 drive.py "${programs[@]}"
step=1
while until_true 60 grep -Eq "^step $step\$|passed|Error" log && grep -q "^step $step\$" log; do
    checkpoint_kill "$pid" image
    restore_detached image
    touch "go.$((step++))"
done
tail -n 1 log | has_line passed || fail "$(cat log)"
((step > 5)) || fail "$step steps: $(cat log)"
until_true 5 test ! -e "/proc/$pid"
