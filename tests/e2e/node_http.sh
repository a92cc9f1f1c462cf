# node serving HTTP on a port; its state counts on after the restore.
port=$((30000 + RANDOM % 10000))
cat > server.js <<'SCRIPT'
let n = 0;
require('http').createServer((q, r) => { r.setHeader('Connection', 'close'); r.end(`${++n}\n`); })
    .listen(Number(process.argv[2]), '127.0.0.1');
SCRIPT
start log node server.js "$port"
get() { curl -sf --max-time 5 "http://127.0.0.1:$port/"; }
until_true 20 get
before=$(get)
sleep 0.5
checkpoint_kill "$pid" image
! get || fail "something still answers"
restore_detached image
until_true 20 get
(($(get) == before + 2)) || fail "the counter was lost"
kill -9 "$pid"
