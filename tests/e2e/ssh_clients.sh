# ssh from outside of the tree through sshd and its session processes: all of the server is killed and comes back twice, and the shell
# goes on in the same process, behind the same connection.
type -p sshd ssh ssh-keygen > /dev/null || { echo "SKIPPED there is no OpenSSH"; exit 0; }
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

mkfifo commands
away "${ssh[@]}" -T bash --norc < commands > answers 2>&1 & client=$!
exec 9> commands
# says COMMAND ANSWER
says() {
    echo "$1" >&9
    until_true 40 grep -qx -- "$2" answers || fail "$1: $(cat answers log)"
}
says 'n=0; echo "begin $$"' 'begin [0-9]*'
shell=$(sed -n 's/^begin //p' answers)
for round in 1 2; do
    checkpoint_kill "$server" "image$round"
    sleep 0.3
    restore_detached "image$round"
    no_table "round $round"
    says '((n += 1)); echo "count $n $$"' "count $round $shell"
done
# A new connection is served as before, and the old one ends as it should.
away "${ssh[@]}" true || fail "$(cat log)"
echo "exit 3" >&9
code=0; wait "$client" || code=$?
[[ $code == 3 ]] || fail "exit $code instead of 3: $(cat answers)"
kill -9 "$server"
kill "$there"
