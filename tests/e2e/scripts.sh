# The scripts find their tools on PATH, beside themselves and where cargo puts them, from any directory; the demo leaves
# nothing behind.
scripts=$(dirname "$(command -v checkpoint.sh)")
mkdir -p installed/bin tree/scripts tree/target
cp "$scripts"/{checkpoint,restore}.sh installed/bin
cp "$scripts"/{checkpoint,restore}.sh tree/scripts
for tool in freeze dumpmnt dumpfs aufsfix dumpmem imgpack restore; do ln -s "$FLOE_TOOLS/$tool" installed/bin; done
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

# Without -o the image is named after the program; it is not killed unless that is asked for.
checkpoint.sh "$pid"
imgpack --verify "bash-$pid.floe" > out
grows log || fail "it does not run on"
expect_exit 2 checkpoint.sh "$pid" --such-an-option
expect_exit 2 checkpoint.sh --kill
expect_exit 2 checkpoint.sh "$pid" --outside
# Options go to the tools that know them; a name is no command.
name="a \$(touch harm) 'b'; c"
echo > branches
checkpoint.sh "$pid" -o "$name" --outside=null --strict --branches branches --no-sync --progress-fd 4 --kill 4> progress
wait "$pid" 2> /dev/null || true
imgpack --verify "$name" > out
imgpack --json "$name" > json
grep -q '"outside":"Null"' json || fail "$(imgpack --list "$name")"
grep -q '"done":true' progress || fail "$(cat progress)"
[[ ! -e harm ]] || fail "a name was run"
restore.sh "$name" --detach
grows log || fail "it stands still"
end_group "$pid"

# What install.sh puts somewhere works from there, and is removed again.
export FLOE_PROFILE=${FLOE_TOOLS##*/}
DESTDIR=$PWD/dest "$scripts/install.sh" /usr > out
for tool in freeze dumpmnt dumpfs aufsfix dumpmem imgpack restore; do
    cmp "dest/usr/bin/$tool" "$FLOE_TOOLS/$tool"
    "dest/usr/bin/$tool" --version | has_line "^$tool [0-9]" || fail "$tool has no version"
    grep -q "^\.TH ${tool^^} 1" "dest/usr/share/man/man1/$tool.1" || fail "$tool has no manual page"
    ! grep -qF '](' "dest/usr/share/man/man1/$tool.1" || fail "the page of $tool is not whole"
    bash -n "dest/usr/share/bash-completion/completions/$tool"
    grep -q "^#compdef $tool" "dest/usr/share/zsh/site-functions/_$tool" || fail "$tool has no completion for zsh"
    grep -q -- "^complete -c $tool" "dest/usr/share/fish/vendor_completions.d/$tool.fish" || fail "$tool: none for fish"
done
touch dest/usr/bin/foreign
DESTDIR=$PWD/dest "$scripts/install.sh" --remove /usr > out
[[ $(find dest -type f) == dest/usr/bin/foreign ]] || fail "left: $(find dest -type f)"
if command -v dpkg-deb > /dev/null; then
    package=$("$scripts/package.sh" .)
    for file in bin/restore share/man/man1/freeze.1.gz share/bash-completion/completions/imgpack bin/checkpoint.sh \
        share/doc/floe/copyright; do
        grep -q " ./usr/$file\$" <(dpkg-deb --contents "$package") || fail "$file is not in the package"
    done
else
    echo "SKIPPED: package.sh: no dpkg-deb"
fi

# A tool whose standard input is a terminal says how it is called.
for tool in dumpmnt dumpfs aufsfix dumpmem restore imgpack; do
    script -qec "$tool > /dev/null 2> said; echo \$? > code" /dev/null < /dev/null > /dev/null
    [[ $(cat code) == 2 ]] && grep -q "terminal: try " said || fail "$tool: $(cat code said)"
done

demo.sh > demo.log
grep -q 'went on without a gap' demo.log || fail "$(cat demo.log)"
until_true 5 bash -c '! pgrep -f [c]ounter.sh' || fail "the demo leaves processes: $(ps -ef)"
