"""What conmon and shims do for a container with a terminal: listens on SOCKET, receives the master of a terminal, writes to it what comes
from IN, and appends what comes from it to OUT, until the terminal hangs up.

    console.py SOCKET IN OUT [ROWS COLUMNS]
"""
import array, fcntl, os, select, socket, struct, sys, termios

name, source, out = sys.argv[1:4]
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen()
connection, _ = listener.accept()
os.unlink(name)
data, control, _, _ = connection.recvmsg(4096, 256)
master = [fd for _, _, part in control for fd in array.array("i", part)][0]
if len(sys.argv) > 4:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", int(sys.argv[4]), int(sys.argv[5]), 0, 0))
typed = os.open(source, os.O_RDWR)
with open(out, "ab", buffering=0) as log:
    while True:
        ready = select.select([master, typed], [], [])[0]
        if typed in ready:
            os.write(master, os.read(typed, 4096))
        if master in ready:
            try:
                data = os.read(master, 4096)
            except OSError:
                sys.exit(0)
            log.write(data)
