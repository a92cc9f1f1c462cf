# Files on a real AUFS that were appended to, replaced and removed while they were in use, on a kernel whose map_files
# names the files of branches and on one where it does not. scripts/vm-test.sh runs it in a machine that has AUFS.
grep -qw aufs /proc/filesystems || { echo "SKIPPED this kernel has no AUFS: scripts/vm-test.sh aufs"; exit 0; }
switch=/sys/module/proc/parameters/aufs_map_files_bug
mount -t tmpfs none .
cd "$PWD"
cat > app.py <<'SCRIPT'
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
def mapped(name):
    """Mapped, and closed again as a library is."""
    fd = os.open(name, os.O_RDONLY)
    at = libc.mmap(None, 8192, 1, 2, fd, ctypes.c_long(0))
    os.close(fd)
    return ctypes.cast(at, ctypes.POINTER(ctypes.c_char))
grown, replaced, removed = [mapped("union/" + name) for name in ("grown", "replaced", "removed")]
scratch = open("union/scratch", "w+")
scratch.write("hello"); scratch.flush()
held = open(sys.argv[1]) if sys.argv[1:] else None
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", flush=True)
for n in range(1, 9):
    signal.sigwait([signal.SIGUSR1])
    scratch.seek(0)
    own = grown[8191] == b"7" and replaced[8191] == b"8" and removed[8191] == b"9" and scratch.read() == "hello"
    print("passed" if own else "FAILED", n, flush=True)
SCRIPT
asks() { kill -USR1 "$pid"; until_true 20 grep -Eq "(passed|FAILED) $1\$" log; grep -q "passed $1\$" log || fail "$(cat log)"; }
stack() { # A union, whose lower layer has what the programs use.
    rm -rf top base union; mkdir top base union
    printf '%08192d' 7 > base/grown; printf '%08192d' 8 > base/replaced; printf '%08192d' 9 > base/removed
    echo text > base/text
    cp "$(type -P sleep)" base/program
    mount -t aufs -o "br:$PWD/top=rw:$PWD/base=ro+wh" none union
}
replace() { cp "$1" "union/$2.new"; mv "union/$2.new" "union/$2"; }
refused() { # SENTENCE: the look and the checkpoint say the same, and the target runs on
    expect_exit 3 freeze --check "$pid"
    grep -qF "$1" stderr || fail "--check: $(cat stderr)"
    expect_exit 3 checkpoint.sh "$pid" -o refused --kill
    grep -qF "$1" stderr || fail "checkpoint: $(cat stderr)"
    [[ ! -e refused ]] || fail "there is an image"
    kill -0 "$pid" || fail "it was killed"
}

a_changed_lower_layer() { # FAULT
    start log python3 app.py
    until_true 60 grep -q ready log
    printf appended >> union/grown
    printf '%08193d' 5 > other; replace other replaced
    rm union/removed union/scratch
    freeze "$pid" | dumpfs | aufsfix --explain > explained
    if (($1)); then
        grep -qF "$PWD/base/grown -> $PWD/union/grown: it is in branch $PWD/base of the aufs at $PWD/union" explained || fail "$(cat explained)"
        grep -qF 'of 8192 bytes: of 8200 bytes in the union' explained || fail "$(cat explained)"
    fi
    asks 1
    freeze --check "$pid" > /dev/null || fail "--check"
    checkpoint_kill "$pid" image
    restore_detached image
    asks 2
    end_group "$pid"
}

a_replaced_program() { # FAULT
    start log union/program 1000
    replace "$(type -P true)" program
    if (($1)); then
        checkpoint_kill "$pid" image
        restore_detached image
        cmp "/proc/$pid/exe" base/program || fail "it is another program"
    else
        refused 'the program: its file was removed or replaced, and its union file system does not open it any more'
    fi
    end_group "$pid"
}

a_replaced_open_file() {
    start log python3 app.py union/text
    until_true 60 grep -q ready log
    replace app.py text
    refused 'it was replaced, and its union file system does not open it any more'
    end_group "$pid"
}

for fault in 0 1; do
    if [[ -e $switch ]]; then echo "$fault" > "$switch"; elif ((fault)); then continue; fi
    for scenario in a_changed_lower_layer a_replaced_program a_replaced_open_file; do
        stack
        "$scenario" "$fault"
        rm -f image log
        until_true 5 umount union
    done
done
