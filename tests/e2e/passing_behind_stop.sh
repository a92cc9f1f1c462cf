# What comes from outside when freeze has looked at the tree behind its stop, and before dumpfs does, is none of the image: a message
# of the kernel, and a connection.
alone /proc/sys/kernel/printk_devkmsg
cat > reader.py <<'SCRIPT'
import os, socket
log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
listener.settimeout(0.02)
print("reads", flush=True)
while not os.path.exists("end"):
    try:
        while True: print(os.read(log, 8192), flush=True)
    except BlockingIOError: pass
    try: listener.accept()[0].close(); print("accepted", flush=True)
    except TimeoutError: pass
print("passed", flush=True)
SCRIPT
start log python3 reader.py
until_true 5 grep -qx reads log
freeze "$pid" -- bash -euc '
    cat > s1
    echo "<7>floe: behind the stop" > /dev/kmsg
    python3 -c "import socket; socket.socket(socket.AF_UNIX).connect(\"socket\")"
    dumpfs < s1 > s2; dumpmem < s2 | imgpack -o image' || fail "exit $?"
until_true 5 grep -q "behind the stop" log
until_true 5 grep -qx accepted log
end_group "$pid"
: > log
restore_detached image --on-change "accept:$PWD/log"
# It had not been read when the tree stood.
until_true 5 grep -aq "behind the stop" log || fail "$(cat log)"
touch end
until_true 5 grep -aq passed log
