# redis-server with 200 MB of data: killed, restored, answering with all of its keys.
ip link set lo up 2> /dev/null || true
port=$((20000 + RANDOM % 10000))
cli() { redis-cli -p "$port" "$@"; }
start log redis-server --port "$port" --save '' --appendonly no --daemonize no --enable-debug-command yes
until_true 20 cli ping
cli debug populate 200000 key 1000 > /dev/null
[[ $(cli dbsize) == 200000 ]] || fail "not loaded"
sum=$(cli debug digest)
checkpoint_kill "$pid" image
(($(stat -c %s image) > 200000000)) || fail "the image is too small to be true"
restore_detached image
until_true 20 cli ping
[[ $(cli dbsize) == 200000 ]] || fail "keys are lost: $(cli dbsize)"
[[ $(cli debug digest) == "$sum" ]] || fail "values differ"
cli set after restore > /dev/null && [[ $(cli get after) == restore ]]
kill -9 "$pid"
