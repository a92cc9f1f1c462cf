# An image is there whole or not at all: signals, full disks, limits on the size of files.
start log bash -c 'while sleep 0.05; do echo $((++n)); done'
until_true 10 grep -q '^3$' log
freeze "$pid" | dumpfs | aufsfix | dumpmem > stream
grows log || fail "the target did not go on"

# Half of the stream comes, then nothing: imgpack is in the midst of its work when the signal comes.
half=$(($(stat -c %s stream) / 2))
interrupted() { # SIGNAL
    local got=0 packer feeder
    mkfifo feed
    # A shell has its background jobs ignore SIGINT.
    env --default-signal=INT imgpack -o place/image < feed & packer=$!
    { head -c "$half" stream; exec sleep 60; } > feed & feeder=$!
    sleep 0.3
    kill "-$1" "$packer"
    wait "$packer" || got=$?
    kill "$feeder"; wait "$feeder" || true
    rm feed
    ((got > 128)) || fail "SIG$1 ends imgpack with $got"
    [[ -z $(ls -A place) ]] || fail "SIG$1 leaves $(ls -A place)"
}
mkdir place
for signal in TERM INT HUP KILL; do interrupted "$signal" 2> /dev/null; done

# The same where there are no files without a name, which need /proc: it has one until it is whole.
export -f interrupted fail; export half
unshare --mount bash -euo pipefail -c '
    mount -t tmpfs none /proc
    for signal in TERM INT HUP; do interrupted "$signal" 2> /dev/null; done
    { head -c "$half" stream; sleep 0.5; tail -c +$((half + 1)) stream; } | imgpack -o place/image & packer=$!
    sleep 0.3
    kill -0 "$packer"
    [[ $(ls -A place) == .floe-* ]] || fail "at work: $(ls -A place)"
    wait "$packer"
    [[ $(ls -A place) == image ]] || fail "in the end: $(ls -A place)"'
imgpack --verify place/image
rm place/image

# A signal that is ignored does not end it.
(trap '' HUP; exec imgpack -o place/image < <(head -c "$half" stream; sleep 0.5; tail -c +$((half + 1)) stream)) & packer=$!
sleep 0.2
kill -HUP "$packer"
wait "$packer" || fail "ends by an ignored SIGHUP with $?"
imgpack --verify place/image
rm place/image

# Other names of the old kind are none of its business.
touch place/.image.floe-1 place/.image.floe-99999999
imgpack -o place/image < stream
[[ $(ls -A place | sort | xargs) == ".image.floe-1 .image.floe-99999999 image" ]] || fail "$(ls -A place)"
rm place/.image.floe-* place/image

no_space() { # WHAT
    expect_exit 1 "$@"
    grep -q 'No space left on device' stderr || fail "$*: $(cat stderr)"
}
mkdir small
mount -t tmpfs -o size=8k none small
no_space imgpack -o small/image < stream
[[ -z $(ls -A small) ]] || fail "left on the full disk: $(ls -A small)"
for command in "imgpack < stream" "imgpack --unpack stream" "freeze $pid" "freeze $pid | dumpfs | aufsfix | dumpmem"; do
    no_space bash -o pipefail -c "$command > small/out"
    expect_exit 4 imgpack --verify small/out
done
expect_exit 1 checkpoint.sh "$pid" -o small/image --leave-running
grep -q 'imgpack: .*No space left on device' stderr || fail "$(cat stderr)"
rm small/out
[[ -z $(ls -A small) ]] || fail "left on the full disk: $(ls -A small)"
grows log || fail "the target stands still after a full disk"

# SIGXFSZ would end it without a word.
too_large() {
    expect_exit 1 bash -c 'ulimit -f 8; '"$1"
    grep -q 'File too large' stderr || fail "$1: $(cat stderr)"
}
too_large 'exec imgpack -o place/image < stream'
[[ -z $(ls -A place) ]] || fail "left: $(ls -A place)"
too_large 'exec imgpack < stream > limited'
too_large "exec freeze $pid > limited"
expect_exit 1 bash -o pipefail -c "freeze $pid | dumpfs | aufsfix | (ulimit -f 8; exec dumpmem > limited)"
grep -q 'dumpmem: .*File too large' stderr || fail "$(cat stderr)"
expect_exit 4 imgpack --verify limited
grows log || fail "the target stands still after a limit"
kill -9 -- "-$pid"
