"""What a client of a server sees.

probe.py latency PORT           asks a redis without end, behind a line `asking`; at SIGTERM prints the median, the 99th
                                percentile and the largest of its waits, in milliseconds
probe.py answer PORT COMMAND…   starts COMMAND and prints the seconds until an HTTP server answers, the pid of COMMAND, and the
                                answer
probe.py warm PORT              asks an HTTP server twenty times and prints the last answer
"""
import signal
import socket
import subprocess
import sys
import time

PATIENCE = 60


def latency(port):
    waits = []
    over = False

    def end(*_):
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, end)
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.settimeout(PATIENCE)
        print("asking", flush=True)
        while not over:
            begin = time.perf_counter()
            server.sendall(b"SET probe 1\r\n")
            if server.recv(100) != b"+OK\r\n":
                sys.exit("the server has answered something else")
            waits.append(time.perf_counter() - begin)
            time.sleep(0.0002)
    waits.sort()
    at = [waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1]]
    print(*(f"{wait * 1000:.3f}" for wait in at))


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as server:
        server.sendall(b"GET / HTTP/1.0\r\n\r\n")
        got = b""
        while part := server.recv(4096):
            got += part
    return got.split(b"\r\n\r\n", 1)[1].strip().decode()


def answer(port, command):
    begin = time.perf_counter()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, stdin=quiet, stdout=quiet, start_new_session=True)
    while True:
        try:
            said = ask(port)
            break
        except (OSError, IndexError):
            if child.poll() not in (None, 0) or time.perf_counter() - begin > PATIENCE:
                sys.exit(f"{command[0]}: no answer, status {child.poll()}")
            time.sleep(0.0005)
    print(f"{time.perf_counter() - begin:.6f}", child.pid, said)


if sys.argv[1] == "latency":
    latency(int(sys.argv[2]))
elif sys.argv[1] == "warm":
    print([ask(int(sys.argv[2])) for _ in range(20)][-1])
else:
    answer(int(sys.argv[2]), sys.argv[3:])
