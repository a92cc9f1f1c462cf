# ssh from outside of the tree through sshd and its session processes, with a terminal and without: all of the server is killed and
# comes back twice, and the shells go on in the same processes, behind the same connections.
type -p sshd ssh ssh-keygen > /dev/null || { echo "SKIPPED there is no OpenSSH"; exit 0; }
mount -t devpts -o newinstance,ptmxmode=0666 none /dev/pts
another_machine ssh_clients 10.81.0
mkdir -p /run/sshd
chmod 755 "$PWD"
mkdir -m 700 keys
ssh-keygen -q -t ed25519 -N '' -f keys/host
ssh-keygen -q -t ed25519 -N '' -f keys/user
cat > config << END
ListenAddress 10.81.0.1:2222
HostKey $PWD/keys/host
PidFile none
AuthorizedKeysFile $PWD/keys/user.pub
StrictModes no
PermitRootLogin yes
UsePAM no
PrintMotd no
PrintLastLog no
END
start log "$(type -p sshd)" -D -e -f "$PWD/config"
server=$pid
ssh=(ssh -F none -p 2222 -i "$PWD/keys/user" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
    -o IdentitiesOnly=yes -o LogLevel=ERROR root@10.81.0.1)
until_true 20 away "${ssh[@]}" true || fail "$(cat log)"

mkfifo plain.in terminal.in
away "${ssh[@]}" -T bash --norc < plain.in > plain 2>&1 & plain=$!
away "${ssh[@]}" -tt bash --norc < terminal.in > terminal 2>&1 & terminal=$!
exec 7> plain.in 9> terminal.in
# says FILE DESCRIPTOR COMMAND ANSWER
says() {
    echo "$3" >&"$2"
    until_true 40 grep -q -- "$4" "$1" || fail "$3: $(cat "$1" log)"
}
# What a terminal echoes is not yet the answer.
says plain 7 'n=0; echo "begin $$ $((6 * 7)) none"' 'begin [0-9]* 42 none'
says terminal 9 'n=0; echo "begin $$ $((6 * 7)) $(tty)"' 'begin [0-9]* 42 /dev/pts/'
shell() { sed -n 's/.*begin \([0-9]*\) 42 .*/\1/p' "$1" | tail -n 1; }
for round in 1 2; do
    checkpoint_kill "$server" "image$round"
    sleep 0.3
    restore_detached "image$round"
    no_table "round $round"
    says plain 7 '((n += 1)); echo "count $n $$"' "count $round $(shell plain)"
    says terminal 9 '((n += 1)); echo "count $n $$"' "count $round $(shell terminal)"
done
# A new connection is served as before, and the old ones end as they should.
away "${ssh[@]}" true || fail "$(cat log)"
echo "exit 3" >&7
echo "exit 4" >&9
code=0; wait "$plain" || code=$?
[[ $code == 3 ]] || fail "exit $code instead of 3: $(cat plain)"
code=0; wait "$terminal" || code=$?
[[ $code == 4 ]] || fail "exit $code instead of 4: $(cat terminal)"
kill -9 "$server"
kill "$there"
