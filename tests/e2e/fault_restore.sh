# restore is killed, or fails, at one call after the other: no process and no file is left, and it can be repeated.
mkdir here && cd here
start ../log python3 -c '
import os, socket, threading, time
s = socket.socket(socket.AF_UNIX); s.bind("socket"); s.listen()
threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()
r, w = os.pipe()
if os.fork() == 0:
    while True: os.write(w, os.read(0, 1) or b"."); time.sleep(0.02)
n = 0
while True: os.read(r, 1); n += 1; print(n, flush=True)'
until_true 20 grep -q '^3$' ../log
checkpoint_kill "$pid" ../image
tree=$(processes ../image)

hits=0
at_call() { # CALL FAULT N: true when there was an N-th call to be hit
    strace -q -o ../trace -e trace="$1" -e inject="$1":"$2":when="$3" restore --detach --on-change append < ../image 2> ../stderr &&
        # There was another way: the tree lives as a whole.
        kill -9 -- "-$pid"
    grep -Eq 'INJECTED|killed by' ../trace
}
clean() {
    (all_gone $tree) || fail "processes are left after $1"
    [[ -z $(find . -mindepth 1 ! -name socket) ]] || fail "files are left behind: $(ls -la)"
}
for fault in signal=SIGKILL error=EIO; do
    for call in ptrace process_vm_writev clone3 bind socket; do
        n=$((1 + first))
        while at_call "$call" "$fault" "$n"; do
            clean "$fault at $call $n: $(cat ../stderr)"
            ((hits += 1, n += n < 12 ? stride : n * stride / 6))
        done
        kill -9 -- "-$pid" 2> /dev/null || true
        clean "the last $call"
        [[ $call == ptrace ]] && calls=$(grep -c '^ptrace' ../trace)
    done
done
# The last calls let one thread after the other go.
for ((back = first; back <= 20; back += stride)); do
    at_call ptrace signal=SIGKILL $((calls - back)) || kill -9 -- "-$pid" 2> /dev/null || true
    clean "SIGKILL at the call $back before the last"
done
((hits > 60 / stride)) || fail "only $hits calls were hit"
restore_detached ../image --on-change append
grows ../log || fail "stands still"
awk '{ if ($1 != ++n) exit 1 }' ../log || fail "a number is lost or doubled"
