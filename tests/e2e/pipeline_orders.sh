# The standard order, dumpmem first, stage by stage through files, and across two shells joined by a socket.
start log bash -c 'while sleep 0.05; do echo $((++n)); done'
until_true 10 grep -q '^3$' log
export pid

# The original goes on writing behind each checkpoint: its log has grown, and the copy writes over what is new.
back() { # FILE: kills the original, restores the image
    end_group "$pid"
    restore_detached "$1" --on-change "append:$PWD/log"
    grows log || fail "stands still after $1"
}

freeze "$pid" | dumpfs | aufsfix | dumpmem | imgpack -o plain
grows log || fail "the target did not go on"
back plain

freeze "$pid" -- bash -o pipefail -c 'dumpmem | dumpfs | aufsfix | imgpack -o swapped'
back swapped

freeze "$pid" -- bash -euc 'cat > s1; dumpfs < s1 > s2; aufsfix < s2 > s3; dumpmem < s3 > s4; imgpack -o staged < s4'
back staged
restore_plan=$(restore --plan < staged); [[ -n $restore_plan ]] || fail "no plan"

# A stream restores as well as an image, from a file and from a pipe.
end_group "$pid"
cat s4 | restore --detach --on-change append
grows log || fail "stands still after a restore from a pipe"
end_group "$pid"
imgpack --unpack staged | restore --detach --on-change append
grows log || fail "stands still after --unpack"

# An image that begins within its file is read as a stream.
end_group "$pid"
{ echo before; cat staged; } > within
{ read -r line; [[ $line == before ]]; restore --detach --on-change append; } < within || fail "restore from within a file: exit $?"
grows log || fail "stands still after a restore from within a file"

python3 - > joined 2> joined.err <<'SCRIPT' &
import os, socket, subprocess
listener = socket.socket(socket.AF_UNIX)
listener.bind("joint"); listener.listen(1)
peer, _ = listener.accept()
status = subprocess.run(["bash", "-o", "pipefail", "-c", "dumpmem | imgpack -o far"], stdin=peer).returncode
peer.close()
print("status", status)
SCRIPT
until_true 5 test -S joint
freeze "$pid" -- python3 -c '
import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX); s.connect("joint")
sys.exit(subprocess.run(["bash", "-o", "pipefail", "-c", "dumpfs | aufsfix"], stdout=s).returncode)'
until_true 10 grep -q 'status 0' joined
back far
kill -9 -- "-$pid"
