# covers: Terminal
# Jobs in the foreground of a terminal, under an interactive shell: they come back into the foreground of another one,
# with its modes, and the keys that stop and interrupt them do so.
cat > asks.py <<'SCRIPT'
while True: print("got", input("> "))
SCRIPT
seq 1000 > lines
cat > typist.py <<'SCRIPT'
import os, pty, re, select, subprocess, sys, time

class Terminal:
    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1="$ ", TERM="xterm", HISTFILE="")
            os.execvp("bash", ["bash", "--norc", "--noediting", "-i"])
        self.said = ""
    def types(self, text):
        self.said = ""
        os.write(self.fd, text.encode())
    def says(self, pattern, seconds=20):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.said!r}"
            if select.select([self.fd], [], [], left)[0]:
                self.said += os.read(self.fd, 4096).decode(errors="replace")

def waits(pid):
    # Python may miss an interrupt between its prompt and its read(2) until the next line comes.
    while open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1][0] != "S": time.sleep(0.01)

def taken(name):
    pid = subprocess.run(["pgrep", "-nf", name], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["checkpoint.sh", pid, "-o", "image", "--kill"], check=True)
    return pid

shell = Terminal(); shell.says(r"\$ ")
shell.types("python3 asks.py\n"); shell.says("> $")
shell.types("one\n"); shell.says("got one")
pid = taken("python3 asks.py"); shell.says("Killed")
other = Terminal(); other.says(r"\$ ")
other.types("restore.sh image\n"); time.sleep(1)
other.types("two\n"); other.says("got two")
group = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
assert group[2] == pid and group[5] == pid, "it leads the group in the foreground"
other.types("\x1a"); other.says(r"Stopped.*restore.sh image\s+\$ ")
other.types("fg\n"); other.says("restore.sh image")
other.types("three\n"); other.says(r"got three\s+> "); waits(pid)
other.types("\x03"); other.says("KeyboardInterrupt")
other.types("echo status $?\n"); other.says("status 130")

# A program that has the terminal in a mode of its own, and has opened it a second time.
shell.types("less lines\n"); shell.says("lines\x1b")
shell.types("j"); shell.says("24")
taken("less lines"); shell.says("Killed")
other.types("restore.sh image\n"); time.sleep(1)
other.types("G"); other.says("1000")
other.types("q"); other.says(r"\$ ")
other.types("stty -a\n"); other.says(r"[^-]icanon.* echo ")
print("passed")
SCRIPT
python3 typist.py | grep passed
