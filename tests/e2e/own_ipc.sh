# PostgreSQL in an IPC namespace of its own, with its segment of System V shared memory, in the middle of transactions: killed and
# restored twice, none fails, and its segment is the one that it was.
cluster
cat > both.sh << 'END'
postgres -F -D data -k "$PWD" -c listen_addresses= -c shared_memory_type=sysv > server.log 2>&1 &
server=$!
until pg_isready -q -h "$PWD"; do sleep 0.1; done
pgbench -h "$PWD" -U floe -i -s 1 postgres > load.log 2>&1 && touch loaded
pgbench -h "$PWD" -U floe -c 2 -j 2 -T 12 postgres > bench.log 2>&1
echo $? > done
wait "$server"
END
start log unshare --ipc "${user[@]}" bash both.sh
until_true 60 test -e loaded || fail "$(cat log server.log load.log)"
some() { [[ $(number 'select count(*) > 100 from pgbench_history') == t ]]; }
until_true 60 some
segments() { nsenter -t "$pid" -i awk 'NR > 1 { print $1, $2, $3, $4, $8, $9 }' /proc/sysvipc/shm; }
before=$(segments)
[[ -n $before ]] || fail "it has no segment"
for round in 1 2; do
    [[ ! -e done ]] || fail "it has ended before checkpoint $round: $(cat bench.log)"
    checkpoint_kill "$pid" "../image$round"
    restore_detached "../image$round"
    [[ $(segments) == "$before" ]] || fail "its segments are others: $before; $(segments)"
    [[ $(readlink "/proc/$pid/ns/ipc") != "$(readlink /proc/self/ns/ipc)" ]] || fail "it is in our IPC namespace"
done
until_true 60 test -e done
[[ $(cat done) == 0 ]] || fail "a client has failed: $(cat bench.log server.log)"
told=$(sed -n 's/^number of transactions actually processed: //p' bench.log)
[[ $(number 'select count(*) from pgbench_history') == "$told" ]] || fail "transactions are lost: $told were told"
end_group "$pid"
