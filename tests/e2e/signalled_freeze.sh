# A signal ends freeze and gives the target back, even where COMMAND has left something that never reads the stream.
# Pages that only a tracer may read are written by freeze itself: more of them than a pipe holds.
start log python3 -c '
import ctypes, mmap, time
pages = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
pages.write(b"x" * (8 << 20))
address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
if ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(8 << 20), 0):
    raise OSError("mprotect")
while True:
    print(1, flush=True)
    time.sleep(0.02)'
until_true 10 test -s log
is_traced() { ! grep -q "^TracerPid:	0$" "/proc/$pid/status"; }
for signal in TERM INT HUP; do
    # A shell's background jobs ignore SIGINT.
    python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp("freeze", ["freeze", *sys.argv[1:]])' "$pid" -- sh -c 'exec 3<&0; sleep 1000 &' &
    freeze=$!
    until_true 10 pgrep -x sleep
    until_true 10 is_traced
    sleep 0.5
    kill -0 "$freeze" || fail "freeze has ended already: the pipe holds it all"
    kill -"$signal" "$freeze"
    until_true 10 test ! -e "/proc/$freeze/exe"
    wait "$freeze" && fail "status 0" || status=$?
    [[ $status == $((128 + $(kill -l "$signal"))) ]] || fail "status $status after SIG$signal"
    grows log || fail "the target stands still after SIG$signal"
    pkill -x sleep
done
