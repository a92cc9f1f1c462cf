# The scripts find their tools on PATH, beside themselves and where cargo puts them, from any directory; the demo leaves
# nothing behind.
scripts=$(dirname "$(command -v checkpoint.sh)")
mkdir -p installed/bin tree/scripts tree/target
cp "$scripts"/{checkpoint,restore}.sh installed/bin
cp "$scripts"/{checkpoint,restore}.sh tree/scripts
for tool in freeze dumpfs aufsfix dumpmem imgpack restore; do ln -s "$FLOE_TOOLS/$tool" installed/bin; done
ln -s "$FLOE_TOOLS" tree/target/release
mkdir links && ln -s ../installed/bin/checkpoint.sh ../installed/bin/restore.sh links

without=/usr/local/bin:/usr/bin:/bin
! (PATH=$without command -v freeze) || fail "freeze is on the PATH of this machine"
start log bash -c 'while sleep 0.05; do echo $((++n)); done'
here=$PWD
for place in installed/bin tree/scripts links; do
    (cd / && unset CARGO_TARGET_DIR && PATH=$without "$here/$place/checkpoint.sh" "$pid" -o "$here/image" --kill)
    wait "$pid" 2> /dev/null || true
    (cd / && unset CARGO_TARGET_DIR && PATH=$without "$here/$place/restore.sh" "$here/image" --detach)
    grows log || fail "it stands still"
done
end_group "$pid"

demo.sh > demo.log
grep -q 'went on without a gap' demo.log || fail "$(cat demo.log)"
until_true 5 bash -c '! pgrep -f [c]ounter.sh' || fail "the demo leaves processes: $(ps -ef)"
