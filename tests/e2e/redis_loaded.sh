# redis-server, loaded with requests while it is checkpointed with --leave-running; the image comes back as well.
ip link set lo up 2> /dev/null || true
port=$((20000 + RANDOM % 10000))
cli() { redis-cli -p "$port" "$@"; }
start log redis-server --port "$port" --save '' --appendonly no --daemonize no --enable-debug-command yes
until_true 20 cli ping
cli debug populate 50000 key 1000 > /dev/null
[[ $(cli dbsize) == 50000 ]] || fail "not loaded"
sum=$(cli debug digest)
redis-benchmark -p "$port" -c 8 -n 100000000 -t set,get -r 1000 -q > load 2>&1 &
load=$!
until_true 20 test -s load
for round in 1 2 3; do
    checkpoint.sh "$pid" -o image --leave-running --close-tcp || fail "checkpoint under load: exit $?"
    [[ $(cli ping) == PONG ]] || fail "the original died"
    kill -0 "$load" || fail "the load has lost its connections: $(tail -c 200 load)"
done
kill "$load" 2> /dev/null; wait "$load" 2> /dev/null || true
kill -9 "$pid"; wait "$pid" 2> /dev/null || true
restore_detached image
until_true 20 cli ping
# What the load has written may be there or not; all else is as it was.
mapfile -t written < <(cli --scan --pattern 'key:0000*')
((${#written[@]} > 100)) || fail "the load has written ${#written[@]} keys"
cli del "${written[@]}" > /dev/null
[[ $(cli dbsize) == 50000 ]] || fail "keys are lost: $(cli dbsize)"
[[ $(cli debug digest) == "$sum" ]] || fail "values differ"
cli set after restore > /dev/null && [[ $(cli get after) == restore ]]
kill -9 "$pid"
