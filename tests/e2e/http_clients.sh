# nginx with two workers, and clients outside of the tree: curl in the middle of a slow download, and one that keeps a connection from
# request to request. The server is killed and comes back twice; all that they get is what it has.
type -p nginx curl tc > /dev/null || { echo "SKIPPED there is no nginx, curl or tc(8)"; exit 0; }
another_machine http_clients 10.80.0
# A slow line: 20 Mbit/s are 2.5 MB in a second.
tc qdisc add dev near root tbf rate 20mbit burst 64kb latency 200ms || { echo "SKIPPED no line can be made slow"; exit 0; }
mkdir www
head -c 8M /dev/urandom > www/big
echo hello > www/small
chmod -R a+rX . && chmod 755 "$PWD"
cat > nginx.conf << END
daemon off;
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/errors;
events { worker_connections 100; }
http {
    access_log off;
    keepalive_timeout 100;
    client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
    server {
        listen 10.80.0.1:8000 reuseport;
        root $PWD/www;
        location /big { sendfile on; }
        location /slow { alias $PWD/www/big; limit_rate 1m; }
    }
}
END
start log nginx -e errors -c "$PWD/nginx.conf"
server=$pid
until_true 20 away curl -sf -o /dev/null http://10.80.0.1:8000/small

# One as fast as the line, and one that the server slows down.
away curl -sS -o slow1 http://10.80.0.1:8000/big 2> curl1 & curl1=$!
away curl -sS -o slow2 http://10.80.0.1:8000/slow 2> curl2 & curl2=$!
cat > kept.py << 'P'
import http.client, os, time
c = http.client.HTTPConnection("10.80.0.1", 8000, timeout=60)
c.connect()
own = c.sock.getsockname()
while not os.path.exists("end"):
    c.request("GET", "/small")
    assert c.getresponse().read() == b"hello\n"
    # It would connect anew by itself.
    assert c.sock and c.sock.getsockname() == own, "another connection"
    print("turn", flush=True)
    time.sleep(0.02)
print("done", flush=True)
P
away python3 kept.py > kept 2>&1 & kept=$!
for file in slow1 slow2 kept; do until_true 20 test -s "$file"; done
for round in 1 2; do
    for file in slow1 slow2; do
        (($(stat -c %s "$file") < 8 << 20)) || fail "$file is there before round $round"
    done
    checkpoint_kill "$server" "image$round"
    lines=$(wc -l < kept)
    sleep 0.3
    restore_detached "image$round"
    no_table "round $round"
    until_true 40 eval '(($(wc -l < kept) > lines))' || fail "the kept connection stands still: $(tail -n 3 kept errors)"
done
wait "$curl1" || fail "curl: $(cat curl1 errors)"
wait "$curl2" || fail "curl, slowed down by the server: $(cat curl2 errors)"
cmp slow1 www/big
cmp slow2 www/big
touch end
wait "$kept" || fail "$(tail -n 3 kept)"
kill -9 -- "-$server"
kill "$there"
