# redis-server with clients outside of the tree, in another network namespace: redis-cli and a raw connection in the midst of a
# pipeline of commands. It is killed and comes back twice, and each client goes on with the connection that it has.
another_machine redis_clients 10.78.0
start log redis-server --bind 10.78.0.1 --port 6400 --save '' --appendonly no --daemonize no --protected-mode no
until_true 20 away redis-cli -h 10.78.0.1 -p 6400 ping
server=$pid

# A subscriber and a shell of redis-cli, each with one connection for all of its life.
away redis-cli -h 10.78.0.1 -p 6400 subscribe news > news 2>&1 &
mkfifo words
away redis-cli -h 10.78.0.1 -p 6400 < words > answers 2>&1 & shell=$!
exec 9> words
echo "client id" >&9
until_true 10 grep -q . answers
id=$(cat answers)
cat > pipeline.py <<'P'
import socket, time
s = socket.create_connection(("10.78.0.1", 6400))
s.settimeout(60)
n = wanted = 0
f = s.makefile("rb")
longest = 0
while n < 4000:
    begin = time.monotonic()
    # Twenty commands are always on their way.
    while n - wanted < 20:
        n += 1
        s.sendall(b"INCR counter\r\n")
    wanted += 1
    answer = f.readline()
    longest = max(longest, time.monotonic() - begin)
    assert answer == b":%d\r\n" % wanted, (answer, wanted)
    print(wanted, flush=True)
    time.sleep(0.002)
print(f"done, the longest pause was {longest:.2f} s", flush=True)
P
away python3 pipeline.py > counted 2>&1 & pipeline=$!
for round in 1 2; do
    grows counted || fail "before round $round: $(tail -3 counted)"
    checkpoint_kill "$server" "image$round"
    lines=$(wc -l < counted)
    sleep 0.3
    restore_detached "image$round"
    # Up to as long again as it has been kept waiting.
    until_true 40 eval '(($(wc -l < counted) > lines))' || fail "after round $round: $(tail -3 counted)"
    before=$(wc -l < answers)
    printf 'set round %s\nget round\nclient id\npublish news %s\n' "$round" "$round" >&9
    until_true 10 eval '(($(wc -l < answers) >= before + 4))' || fail "redis-cli has no answer: $(cat answers)"
    [[ $(sed -n "$((before + 2))p" answers) == "$round" ]] || fail "another value: $(cat answers)"
    [[ $(sed -n "$((before + 3))p" answers) == "$id" ]] || fail "redis-cli has connected anew: $(cat answers)"
    until_true 10 grep -qx "$round" news || fail "the subscriber hears nothing: $(cat news)"
done
wait "$pipeline" || fail "$(tail -5 counted)"
tail -1 counted
exec 9>&-
wait "$shell" || fail "redis-cli: $(cat answers)"
no_table restore
kill -9 "$server"
kill "$there"
