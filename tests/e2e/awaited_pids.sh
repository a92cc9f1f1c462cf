# unshare(1) without --fork: bash has a pid namespace for its children that nobody is in yet. A copy of it for the short pause would be the
# init of that, so none is made; the first child is that, before a checkpoint and behind a restore, and without rights there is no restore.
cat > script <<'SCRIPT'
printf -v held '%*s' $((16 << 20)) ''
exec 3<> fifo
echo ready
until [[ -e go ]]; do read -rt 0.05 -u 3 line; done
exec 3>&-
bash -c 'echo "first $$"; sh -c "echo second \$\$"; true'
echo "done ${#held}"
SCRIPT
mkfifo fifo
begin() { start log unshare --pid bash script; until_true 10 grep -q ready log; }
awaits() { ! readlink "/proc/$pid/ns/pid_for_children"; }
is_first() {
    touch go
    until_true 10 grep -q done log || fail "$1: $(cat log)"
    [[ $(tail -n 3 log) == "first 1"$'\n'"second 2"$'\n'"done $((16 << 20))" ]] || fail "$1: $(cat log)"
    rm go
}

begin
awaits || fail "it awaits nobody"
checkpoint.sh "$pid" -o image --leave-running 2> stderr || fail "$(cat stderr)"
has_line 'stands still until.*awaits the init of a pid namespace' < stderr || fail "$(cat stderr)"
awaits || fail "a child was born there"
is_first "left running"

begin
checkpoint_kill "$pid" "$PWD/image"
expect_exit 3 setpriv --bounding-set -sys_admin --inh-caps -sys_admin restore --detach < image
grep -q "awaits its first process, and restore needs CAP_SYS_ADMIN" stderr || fail "$(cat stderr)"
restore_detached "$PWD/image" || fail "restore"
awaits || fail "restored: it awaits nobody"
is_first restored
