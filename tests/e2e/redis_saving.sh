# redis while it saves in the background: the child has closed what the epoll instance of its parent watches. Both go on, and
# the file is written.
start log redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" --save "" --rdb-key-save-delay 10000
until_true 10 test -S socket
redis() { redis-cli -s socket "$@"; }
redis eval 'for n = 1, 500 do redis.call("set", n, n) end' 0 > /dev/null
redis bgsave > /dev/null
child() { cat "/proc/$pid/task/$pid/children"; }
until_true 5 eval '[[ -n $(child) ]]'
saver=$(child)
checkpoint_kill "$pid" image
restore_detached image
[[ $(child) == "$saver" ]] || fail "nobody saves: $(cat log)"
[[ $(redis dbsize) == 500 ]] || fail "it has $(redis dbsize) keys"
until_true 30 test -s dump.rdb
until_true 5 eval 'redis info persistence | has_line "rdb_last_bgsave_status:ok"'
until_true 5 eval '[[ -z $(child) ]]'
kill -9 "$pid"
