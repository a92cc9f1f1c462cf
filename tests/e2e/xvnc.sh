# An X server with a terminal and a shell in it: killed and restored, its screen is the same pixel by pixel, and it goes on drawing.
# Its lock and its socket have no other place.
mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
trap 'rm -f /tmp/.X7-lock /tmp/.X11-unix/X7' EXIT
cat > session << 'SCRIPT'
export HOME=$PWD DISPLAY=:7 XAUTHORITY=/dev/null
Xvnc :7 -geometry 640x480 -depth 24 -SecurityTypes None -rfbport 0 -rfbunixpath "$PWD/vnc" -nolisten tcp -ac &
until xwd -root -silent -out /dev/null 2> /dev/null; do sleep 0.1; done
xterm -geometry 80x24+10+10 +bc -e bash --norc -c '
    PS1="> "; printf "%s\n" one two three; seq 60
    echo ready > ready
    while read -r word; do echo "read $word"; seq 5; echo "$word" > said; done' < /dev/null &
wait
SCRIPT
start out bash session
until_true 60 test -s ready || fail "$(cat out)"
# The pixels alone: xwd(1) leaves bytes between the colors of its header as they happen to be.
cat > pixels.py << 'SCRIPT'
import struct, sys
dump = sys.stdin.buffer.read()
header = struct.unpack(">25I", dump[:100])
sys.stdout.buffer.write(dump[header[0] + 12 * header[19]:])
SCRIPT
screen() { DISPLAY=:7 xwd -root -silent -out dump && python3 pixels.py < dump > "$1" && test -s "$1"; }
still() { screen a; sleep 0.3; screen b; cmp -s a b; }
until_true 20 still
screen before

checkpoint_kill "$pid" image
restore_detached image
screen after
cmp before after || fail "its screen differs"

# What is typed reaches the shell, which draws it.
xterm_pid=$(pgrep -n xterm)
master=$(ls -l "/proc/$xterm_pid/fd" | awk '/ptmx/ {print $9; exit}')
[[ -n $master ]] || fail "its terminal has no master"
shell=$(pgrep -n -P "$xterm_pid")
python3 - "/proc/$shell/fd/0" << 'SCRIPT'
import fcntl, sys, termios
tty = open(sys.argv[1], "r+b", 0)
for byte in b"hello\n": fcntl.ioctl(tty, termios.TIOCSTI, bytes([byte]))
SCRIPT
until_true 10 grep -qx hello said || fail "its shell does not hear"
until_true 10 still
screen typed
! cmp -s typed before || fail "nothing was drawn"

# Once more, and a client that comes now is served.
checkpoint_kill "$pid" image
restore_detached image
screen again
cmp typed again || fail "its screen differs"
DISPLAY=:7 xterm -geometry 20x5+400+300 -e true || fail "no client is served"
