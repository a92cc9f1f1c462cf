# A WebSocket server of Node.js, with a client in the tree and one outside of it: messages of both go on over a checkpoint with
# kill and restore, each once and in order.
cat > server.js << 'SCRIPT'
const { WebSocketServer } = require("/usr/share/nodejs/ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 8391 });
server.on("connection", (socket) => {
    let expected = 0;
    socket.on("message", (data, binary) => {
        const number = binary ? data.readUInt32BE(0) : Number(String(data).split(" ")[0]);
        socket.send(number === expected ? `${number} ${"x".repeat(number % 5000)}` : `WRONG ${number} for ${expected}`);
        expected += 1;
    });
    setInterval(() => socket.ping(), 50);
});
SCRIPT
cat > client.js << 'SCRIPT'
const { WebSocket } = require("/usr/share/nodejs/ws");
const [, , log, last] = process.argv;
const fs = require("fs");
const socket = new WebSocket("ws://127.0.0.1:8391");
let sent = 0;
const send = () => {
    const data = sent % 2 ? `${sent} text` : Buffer.alloc(3000 + sent);
    if (!(sent % 2)) data.writeUInt32BE(sent, 0);
    socket.send(data);
    sent += 1;
};
socket.on("open", () => { for (let n = 0; n < 8; n += 1) send(); });
let got = 0;
socket.on("message", (data) => {
    const text = String(data);
    if (text !== `${got} ${"x".repeat(got % 5000)}`) fs.appendFileSync(log, `FAILED ${text.slice(0, 60)}\n`);
    got += 1;
    if (got % 50 === 0) fs.appendFileSync(log, `${got}\n`);
    if (got === Number(last)) { fs.appendFileSync(log, "passed\n"); process.exit(0); }
    setTimeout(send, 2);
});
for (const event of ["close", "error"]) socket.on(event, (what) => fs.appendFileSync(log, `FAILED ${event} ${what}\n`));
SCRIPT
listens() { ss -Hltn 'sport = :8391' | has_line .; }
start out bash -c 'node server.js & until [[ -e go ]]; do sleep 0.05; done; node client.js log 1500 & wait'
until_true 20 listens || fail "$(cat out)"
touch go
node client.js outside 1500 < /dev/null > client.out 2>&1 &
client=$!
for line in 250 700; do
    until_true 60 grep -qx "$line" log || fail "$(tail -n 3 log) $(cat out)"
    until_true 60 grep -qx "$line" outside || fail "$(tail -n 3 outside) $(cat client.out)"
    checkpoint_kill "$pid" image
    restore_detached image
done
for log in log outside; do
    until_true 60 grep -Eq 'passed|FAILED' "$log" || fail "$log: $(tail -n 3 "$log")"
    ! grep FAILED "$log" || fail "$log: $(cat "$log")"
done
wait "$client" || fail "the client outside fails: $(cat client.out)"
kill -9 -- "-$pid"
