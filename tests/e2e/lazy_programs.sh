# Programs with memory of their own that come back lazily, and are asked at once.
ip link set lo up 2> /dev/null || true
pagers() { pgrep '^floe-[pk]' || true; }
none_left() { until_true 20 eval '[[ -z $(pagers) ]]' || fail "$(ps -e)"; }
port=$((20000 + RANDOM % 10000))
if type -p redis-server > /dev/null; then
    cli() { redis-cli -p "$port" "$@"; }
    start log redis-server --port "$port" --save '' --appendonly no --daemonize no --enable-debug-command yes
    until_true 20 cli ping
    cli debug populate 100000 key 1000 > /dev/null
    sum=$(cli debug digest)
    checkpoint_kill "$pid" image
    restore_detached image --lazy
    # It forks for this.
    [[ $(cli bgsave) == 'Background saving started' ]] || fail "no save"
    [[ $(cli dbsize) == 100000 && $(cli debug digest) == "$sum" ]] || fail "values differ"
    until_true 60 eval '[[ $(cli info persistence) == *rdb_bgsave_in_progress:0* ]]'
    [[ $(cli info persistence) == *rdb_last_bgsave_status:ok* ]] || fail "$(cli info persistence)"
    cli debug reload nosave > /dev/null
    [[ $(cli debug digest) == "$sum" ]] || fail "other values were saved"
    none_left
    checkpoint_kill "$pid" second
    restore_detached second --lazy
    [[ $(cli debug digest) == "$sum" ]] || fail "values differ in the second generation"
    kill -9 "$pid"
    all_gone "$pid"
    none_left
fi
type -p node > /dev/null || exit 0
cat > server.js <<'J'
const crypto = require('crypto');
const all = new Map();
for (let n = 0; n < 200000; n++) all.set('key' + n, { n, text: crypto.randomBytes(30).toString('hex') });
const buffers = [...Array(32)].map(() => crypto.randomBytes(1 << 20));
function digest() {
    const hash = crypto.createHash('sha1');
    for (const [key, value] of all) hash.update(key + value.text + value.n);
    buffers.forEach(buffer => hash.update(buffer));
    return hash.digest('hex');
}
require('http').createServer((request, answer) => {
    if (request.url == '/collect') { for (let n = 0; n < 1e5; n++) all.set('new' + n % 10, [n]); globalThis.gc(); all.forEach((v, k) => k.startsWith('new') && all.delete(k)); }
    answer.end(digest());
}).listen(+process.argv[2], () => console.log('ready'));
J
start log node --expose-gc server.js $((port + 1))
until_true 30 grep -q ready log
ask() { curl -s -m 30 "http://127.0.0.1:$((port + 1))/$1"; }
sum=$(ask x)
[[ ${#sum} == 40 ]] || fail "no answer"
checkpoint_kill "$pid" image
for what in x collect; do
    restore_detached image --lazy
    [[ $(ask $what) == "$sum" ]] || fail "another answer after $what"
    none_left
    [[ $(ask $what) == "$sum" ]] || fail "another answer"
    kill -9 "$pid"
    all_gone "$pid"
done
