# PostgreSQL under pgbench, in the middle of transactions: none fails, and everything that was committed is there.
cluster
cat > both.sh << 'END'
postgres -F -D data -k "$PWD" -c listen_addresses= > server.log 2>&1 &
server=$!
until pg_isready -q -h "$PWD"; do sleep 0.1; done
pgbench -h "$PWD" -U floe -i -s 2 postgres > load.log 2>&1 && touch loaded
pgbench -h "$PWD" -U floe -c 4 -j 2 -T 15 postgres > bench.log 2>&1
echo $? > done
wait "$server"
END
start log "${user[@]}" bash both.sh
until_true 60 test -e loaded || fail "$(cat log server.log load.log)"
some() { [[ $(number 'select count(*) > 100 from pgbench_history') == t ]]; }
until_true 60 some
for round in 1 2; do
    [[ ! -e done ]] || fail "it has ended before checkpoint $round: $(cat bench.log)"
    checkpoint_kill "$pid" "../image$round"
    restore_detached "../image$round"
done
until_true 60 test -e done
[[ $(cat done) == 0 ]] || fail "a client has failed: $(cat bench.log server.log)"
sums='select sum(abalance) from pgbench_accounts union all select sum(tbalance) from pgbench_tellers
    union all select sum(bbalance) from pgbench_branches union all select sum(delta) from pgbench_history'
[[ $(number "$sums" | sort -u | wc -l) == 1 ]] || fail "the sums differ: $(number "$sums")"
told=$(sed -n 's/^number of transactions actually processed: //p' bench.log)
[[ $(number 'select count(*) from pgbench_history') == "$told" ]] || fail "transactions are lost: $told were told"
end_group "$pid"
