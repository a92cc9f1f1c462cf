# A container of runc with a terminal: an interactive shell comes back in the foreground of a new one, twice.
. "$dir/containers.sh"
bundle sh -i << 'SCRIPT'
config["process"]["terminal"] = True
config["process"]["env"] = ["PATH=/bin", "PS1=$ ", "TERM=xterm"]
SCRIPT
mkfifo keys
console() { # [ROWS COLUMNS]
    : > screen
    python3 "$dir/console.py" console.sock keys screen "$@" 3>&- 251>&- &
    console=$!
    until_true 10 test -S console.sock
}
types() { printf "$1" > keys; }
says() { until_true 10 grep -q -- "$1" screen || fail "no \"$1\" on: $(cat screen)"; }
console 33 77
box run -d --bundle "$PWD/bundle" --pid-file "$PWD/pid" --console-socket "$PWD/console.sock" "$id" < /dev/null > run.out 2>&1 3>&- 251>&- ||
    fail "runc run: $(cat run.out)"
types 'n=41; cd /tmp; stty -a\n'
says '33; columns 77'
for round in 1 2; do
    checkpoint_box
    until_true 10 test ! -e "/proc/$console"
    console
    box restore -d --bundle "$PWD/bundle" --pid-file "$PWD/pid" --image-path "$PWD/images" --work-path "$PWD/work" \
        --console-socket "$PWD/console.sock" "$id" < /dev/null > run.out 2>&1 3>&- 251>&- || fail "runc restore: $(cat run.out work/restore.log)"
    types 'n=$((n + 1)); echo "n is $n in $PWD"\n'
    says "n is $((41 + round)) in /tmp"
    types 'stty -a; cat /proc/self/stat | cut -d " " -f 6\n'
    says '33; columns 77'
    # A job in the foreground is interrupted by the key.
    types 'sleep 1000\n'
    until_true 10 eval 'box exec "$id" ps | has_line "sleep 1000"'
    types '\003'
    until_true 10 eval '! box exec "$id" ps | has_line "sleep 1000"'
    types 'echo back $?\n'
    says 'back 130'
    [[ $(box exec "$id" readlink /proc/1/fd/0) == /dev/pts/0 ]] || fail "$(box exec "$id" ls -l /proc/1/fd)"
    box exec "$id" ls -l /dev/console | has_line '136, *0' || fail "$(box exec "$id" ls -l /dev/console)"
done
delete_box
