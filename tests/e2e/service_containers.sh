# Services in containers of runc, each with a root of the distribution's files, limits and a tmpfs of its own: redis, nginx and PostgreSQL,
# whose clients outside keep the connection that they have, through two checkpoints and restores.
if [[ -z ${ALONE-} ]]; then
    ALONE=1 exec unshare -n bash -euo pipefail -c '. "$0/lib.sh"; . "$0/service_containers.sh"' "$dir"
fi
dir=$0
. "$dir/containers.sh"
ip link set lo up
name=$id
needs() { local one; for one; do type -p "$one" > /dev/null || { echo "no $one, so no container of it"; return 1; }; done; }
# prepare NAME WORDS…: a container that is empty, and runs these words; standard input is a program that changes `config` (python).
prepare() {
    id=$name-$1; shift
    rm -rf bundle images work
    mkdir bundle images work
    { cat << SCRIPT; cat; } > more.py
for namespace in config["linux"]["namespaces"]:
    if namespace["type"] == "network": namespace["path"] = "/proc/$$/ns/net"
config["linux"]["resources"] = {"pids": {"limit": 77}, "memory": {"limit": 512 << 20}}
config["mounts"].append({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", "size=64m"]})
config["root"]["readonly"] = False
SCRIPT
    bundle "$@" < more.py
    mkdir -m 1777 bundle/rootfs/scratch
}
cgroup_files() { # NAME: those of the container, of whatever version
    awk -F: '{ print $2, $3 }' "/proc/$pid/cgroup" | while read -r -a at; do
        ls -d "/sys/fs/cgroup/${at[0]}${at[-1]}/$1" "/sys/fs/cgroup${at[-1]}/$1" 2> /dev/null || true
    done | sort -u
}
limits() { cat $(cgroup_files pids.max) $(cgroup_files memory.limit_in_bytes) $(cgroup_files memory.max); }
members() { cat $(cgroup_files pids.current); }
scratch() { nsenter -t "$pid" -m -p sh -c 'cd /scratch; for file in $(ls -A); do echo "$file"; [ ! -f "$file" ] || cat "$file"; done' | md5sum; }
# twice CLIENT…: checkpointed and restored two times; behind each the client, a function, goes on with its connection.
twice() {
    local round before
    before=$(limits; members; scratch)
    [[ $before == *77* ]] || fail "$id: its limits are $before"
    for round in 1 2; do
        checkpoint_box --tcp-established
        sleep 0.2
        restore_box --tcp-established
        "$@" "$round" || fail "$id, round $round: $(cat work/restore.log)"
        [[ $(limits; members; scratch) == "$before" ]] || fail "$id, round $round: $(limits; members; scratch) instead of $before"
        no_table "$id, round $round"
    done
    delete_box
    until_true 5 no_cgroups
}

if needs redis-server; then
    prepare redis redis-server --bind 127.0.0.1 --port 6400 --save '' --dir /scratch --enable-debug-command yes <<< ''
    with_libraries bundle/rootfs "$(type -p redis-server)"
    ln -sf "$(type -p redis-server)" bundle/rootfs/bin/redis-server
    start_box
    until_true 20 eval 'exec 7<> /dev/tcp/127.0.0.1/6400' 2> /dev/null || fail "$(cat out)"
    redis_says() { # COMMAND ANSWER
        local answer
        printf '%s\r\n' "$1" >&7
        IFS= read -r -t 20 -u 7 answer && [[ ${answer%$'\r'} == "$2" ]]
    }
    redis_says 'SET kept value' +OK && redis_says SAVE +OK && redis_says 'INCR n' :1 || fail "redis: $(cat out)"
    on_redis() { redis_says 'INCR n' ":$(($1 + 1))" && redis_says 'STRLEN kept' :5; }
    twice on_redis
    exec 7>&-
fi

if needs nginx; then
    prepare nginx sh -c 'echo hello > /scratch/small; exec nginx -e /scratch/errors -c /etc/nginx.conf' <<< ''
    with_libraries bundle/rootfs "$(type -p nginx)"
    ln -sf "$(type -p nginx)" bundle/rootfs/bin/nginx
    mkdir -p bundle/rootfs/{var,run}
    echo root:x:0:0:root:/root:/bin/sh > bundle/rootfs/etc/passwd
    echo root:x:0: > bundle/rootfs/etc/group
    cat > bundle/rootfs/etc/nginx.conf << 'END'
daemon off; user root; worker_processes 2; pid /run/nginx.pid;
events { worker_connections 100; }
http {
    access_log off; keepalive_timeout 100;
    client_body_temp_path /var/b; proxy_temp_path /var/p; fastcgi_temp_path /var/f; uwsgi_temp_path /var/u; scgi_temp_path /var/s;
    server { listen 127.0.0.1:8000; root /scratch; }
}
END
    start_box
    until_true 20 eval 'exec 7<> /dev/tcp/127.0.0.1/8000' 2> /dev/null || fail "$(cat out)"
    on_nginx() { # one request of many of this connection
        local line= length=
        printf 'GET /small HTTP/1.1\r\nHost: box\r\n\r\n' >&7
        IFS= read -r -t 20 -u 7 line && [[ $line == 'HTTP/1.1 200'* ]] || return 1
        while IFS= read -r -t 20 -u 7 line && [[ $line != $'\r' ]]; do :; done
        IFS= read -r -t 20 -u 7 line && [[ $line == hello ]]
    }
    on_nginx || fail "nginx: $(cat out)"
    twice on_nginx
    exec 7>&-
fi

bin=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | tail -n 1) bin=${bin%/postgres}
if PATH=$bin:$PATH needs postgres psql setpriv; then
    version=${bin#/usr/lib/postgresql/} version=${version%/bin}
    chmod 755 "$PWD"
    prepare postgres "$bin/postgres" -F -D /data -k /scratch -c listen_addresses=127.0.0.1 << 'SCRIPT'
config["process"]["user"] = {"uid": 1000, "gid": 1000}
SCRIPT
    with_libraries bundle/rootfs "$bin/postgres" "${bin%/bin}/lib" "/usr/share/postgresql/$version" /usr/share/zoneinfo/UTC /usr/share/zoneinfo/Etc
    echo "floe:x:1000:1000::/:/bin/sh" > bundle/rootfs/etc/passwd
    # Who makes the files wants a name, too.
    cp bundle/rootfs/etc/passwd passwd && mount --bind passwd /etc/passwd
    mkdir bundle/rootfs/data && chown 1000:1000 bundle/rootfs/data
    setpriv --reuid 1000 --regid 1000 --clear-groups "$bin/initdb" -D bundle/rootfs/data -U floe --locale=C --no-sync > said 2>&1 || fail "$(cat said)"
    umount /etc/passwd
    start_box
    until_true 60 "$bin/pg_isready" -q -h 127.0.0.1 || fail "$(cat out)"
    mkfifo words
    psql -h 127.0.0.1 -U floe -AtX -v ON_ERROR_STOP=1 postgres < words > answers 2>&1 3>&- 251>&- & client=$!
    exec 9> words
    psql_says() { # SQL ANSWER
        echo "$1" >&9
        until_true 30 eval '[[ $(tail -n 1 answers) == "'"$2"'" ]]' || { cat answers; return 1; }
    }
    psql_says "create table t (n int); begin; insert into t values (0); select 'begun';" begun || fail "$(cat out)"
    on_postgres() { psql_says "insert into t values ($1); select 'rows ' || count(*) from t;" "rows $(($1 + 1))"; }
    twice on_postgres
    kill "$client"
fi
