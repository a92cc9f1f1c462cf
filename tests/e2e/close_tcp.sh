# Connections that are captured as closed ones read their end and take nothing more, as after a reset that has been heard of.
ip link set lo up 2> /dev/null || true
cat > tcp.py <<'P'
import signal, socket
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
print("ready", flush=True)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
signal.sigwait({signal.SIGUSR1})
for it in client, server:
    assert it.recv(1) == b"", "an end"
    try:
        it.send(b"x")
        raise SystemExit("it takes data")
    except BrokenPipeError:
        pass
again = socket.create_connection(listener.getsockname())
listener.accept()[0].send(b"hello")
assert again.recv(10) == b"hello"
print("passed", flush=True)
P
start log python3 tcp.py
until_true 10 grep -q ready log
checkpoint.sh "$pid" -o image --kill --tcp close || fail "checkpoint: exit $?"
wait "$pid" || true
restore_detached image
sleep 0.1
kill -USR1 "$pid"
until_true 10 grep -Eq 'passed|Error|takes' log
grep -q passed log || fail "$(cat log)"
