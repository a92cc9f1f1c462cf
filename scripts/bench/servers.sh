# The rows of bench.sh with real programs: what their clients see.

skipped=''
needs() { # PROGRAM…: sets $skipped where one is missing
    local program
    for program; do
        type -p "$program" > /dev/null || { skip "there is no $program"; skipped=1; return; }
    done
    skipped=''
}
# A port that is most likely free.
any_port() { port=$((20000 + RANDOM % 10000)); }

# Debian's CRIU cannot capture TCP sockets of new kernels by itself (see sockets.c).
criu_for_sockets() {
    ((${#used[@]} == 2)) || return 0
    local shim=${places%% *}/$FLOE_BENCH_INSIDE.sockets.so
    if [[ ! -e $shim ]]; then
        cc -O2 -shared -fPIC -nostartfiles -o "$shim" "$here/bench/sockets.c" 2> /dev/null || return 0
        criu=${criu/--library-path/--preload $shim --library-path}
    fi
    note "CRIU is helped with sockets (scripts/bench/sockets.c), which it cannot capture on Linux 6.16 and newer"
}

cli() { redis-cli -p "$port" "$@"; }
loaded_redis() {
    any_port
    (cd "$dir" && exec setsid redis-server --port "$port" --save '' --appendonly no --enable-debug-command yes) < /dev/null > /dev/null 2>&1 &
    pid=$!
    disown "$pid"
    patiently 30 answers_ping
    cli debug populate "$(scaled 1000000 1000)" key 1000 > /dev/null
    redis-benchmark -p "$port" -c 8 -n 1000000000 -t set,get -r 1000 -q > /dev/null 2>&1 &
    helpers+=($!)
    disown $!
    # It has connected, and the server is under load.
    sleep "$(scaled 1 0.1)"
}
answers_ping() { [[ $(cli ping 2> /dev/null) == PONG ]]; }
stop_helpers() { kill -9 "${helpers[@]}" 2> /dev/null || true; helpers=(); }

# A checkpoint while it serves, as one client of it sees that.
under_load() { # TOOL
    local probe options=(--no-sync --close-tcp)
    [[ $1 == floe ]] || options=(--tcp-close)
    fresh
    python3 "$here/bench/probe.py" latency "$port" > "$dir/latencies" &
    probe=$!
    helpers+=("$probe")
    patiently 30 grep -qs asking "$dir/latencies"
    sleep 0.2
    clock "$1_dump" --leave-running "${options[@]}" || return
    add "$1" checkpoint "$took"
    sleep 0.2
    kill "$probe"
    wait "$probe" || { echo "the client has failed" > "$dir/stderr"; return 1; }
    patiently 10 answers_ping
    local p50 p99 worst
    read -r p50 p99 worst < <(tail -n 1 "$dir/latencies")
    add "$1" p50 "$p50"
    add "$1" p99 "$p99"
    add "$1" worst "$worst"
}

redis() {
    local round tool
    needs redis-server redis-benchmark redis-cli
    [[ -z $skipped ]] || return 0
    size=$(scaled 1200 16)
    criu_for_sockets
    for ((round = 0; round < rounds; round++)); do
        for tool in "${used[@]}"; do
            loaded_redis
            under_load "$tool" || failed "$tool" "checkpoint under load"
            stop_helpers
            stop
        done
    done
    title
    line p50 ms 1
    line p99 ms 1
    line worst ms 1
    line checkpoint ms 1000
}

cat_node() { cat <<'SCRIPT'
let n = 0;
require('http').createServer((q, r) => { r.setHeader('Connection', 'close'); r.end(`${++n}\n`); })
    .listen(Number(process.argv[2]), '127.0.0.1');
SCRIPT
}
cat_java() { cat <<'SOURCE'
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.atomic.AtomicLong;

public class Server {
    public static void main(String[] args) throws Exception {
        AtomicLong n = new AtomicLong();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
        server.createContext("/", exchange -> {
            byte[] answer = (n.incrementAndGet() + "\n").getBytes();
            exchange.getResponseHeaders().set("Connection", "close");
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }
}
SOURCE
}

# Seconds from the start of a command to the first answer on the port, into $took; the answer, a number, into $answer; the
# process of the command into $started.
answered_by() { # COMMAND…
    python3 "$here/bench/probe.py" answer "$port" "$@" > "$dir/answer" 2> "$dir/stderr" || return
    read -r took started answer < "$dir/answer"
}

serves() { # TOOL
    local cold started answer before
    any_port
    touched
    # What it says goes nowhere: a file with that would be another one at the restore.
    answered_by bash -c 'exec "$@" 2> /dev/null' bash "${command[@]}" "$port" || return
    pid=$started cold=$took
    # It has warmed up when it is captured.
    before=$(python3 "$here/bench/probe.py" warm "$port" 2> "$dir/stderr") || return
    fresh
    clock "$1_dump" --kill || return
    add "$1" checkpoint "$took"
    gone
    touched
    if [[ $1 == floe ]]; then answered_by restore.sh "$dir/image" --detach || return
    else answered_by $criu restore -D "$dir/criu" -d -v1 -o log || return; fi
    ((answer == before + 1)) || { echo "its counter is lost" > "$dir/stderr"; return 1; }
    add "$1" answer "$took"
    if [[ $1 == floe ]]; then
        add floe answer-cold "$took"
        add cold answer-cold "$cold"
        stat -c %s "$dir/image"
    else
        du -sb "$dir/criu" | cut -f1
    fi > "$dir/times/$1.size"
}

server() {
    local round tool command
    needs "$row" python3
    [[ -z $skipped ]] || return 0
    size=256
    criu_for_sockets
    if [[ $row == node ]]; then
        cat_node > "$dir/server.js"
        command=(node "$dir/server.js")
    else
        needs javac
        [[ -z $skipped ]] || return 0
        cat_java > "$dir/Server.java"
        javac -d "$dir" "$dir/Server.java"
        command=(java -XX:-UsePerfData -Xmx256m -cp "$dir" Server)
    fi
    for ((round = 0; round < rounds; round++)); do
        for tool in "${used[@]}"; do
            serves "$tool" || failed "$tool" "checkpoint and restore"
            stop
        done
    done
    title
    line answer ms 1000
    line answer-cold ms 1000 '' cold
    line checkpoint ms 1000
    line size MiB 0.00000095367
}
