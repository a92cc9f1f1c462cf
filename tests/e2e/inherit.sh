# What takes the place of outside files, by what they are called: ends of one pipe that are open in one way get what is given in turn,
# and what is given once more for another description is opened again. By another number than it has. A name that nothing has is said.
mkfifo in; exec 3<> in
exec 4< <(exec cat in 3>&-) 5> >(exec cat >> out 3>&-)
cat > program.py << 'SCRIPT'
import os, sys
other = os.open("/proc/self/fd/1", os.O_WRONLY | os.O_APPEND)
print(os.getpid(), flush=True)
for line in sys.stdin:
    print("got", line.strip(), flush=True)
    os.write(other, b"and " + line.encode())
SCRIPT
setsid python3 -u program.py <&4 >&5 2> /dev/null 3>&- 4>&- 5>&- 251>&- &
pid=$!
exec 4>&- 5>&-
answers() { # TEXT FILE
    echo "$1" >&3
    sleep 0.05
    grep -qsx "and $1" "$2" && grep -qx "got $1" "$2"
}
says() { until_true 10 answers "$@"; }
says one out
pipes=("$(readlink "/proc/$pid/fd/0")" "$(readlink "/proc/$pid/fd/1")")
checkpoint_kill "$pid" image
expect_exit 3 restore --detach --outside refuse < image
exec 4< <(exec cat in 3>&-) 5> >(exec cat >> back 3>&-)
restore --detach --inherit 0=7 --inherit "${pipes[1]}=8" --inherit 'pipe:[1]=8' < image 2> told 7<&4 8>&5 3>&- 4>&- 5>&- 251>&- || fail "$(cat told)"
exec 4>&- 5>&-
grep -qx 'restore: --inherit pipe:\[1\]: no outside file is called that' told || fail "$(cat told)"
says two back
# Each of both has a description of its own, as before: one appends, and the other does not.
flags() { awk '/^flags/ { print $2 }' "/proc/$pid/fdinfo/$1"; }
[[ $(flags 1) != "$(flags 3)" && $(readlink "/proc/$pid/fd/1") == "$(readlink "/proc/$pid/fd/3")" ]] || fail "$(ls -l "/proc/$pid/fd")"
kill -9 "$pid"
