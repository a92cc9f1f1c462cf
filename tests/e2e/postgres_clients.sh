# PostgreSQL with psql outside of the tree, in another network namespace: the server and the process of the session are killed and come
# back twice in the middle of a transaction, and psql goes on with the connection and the transaction that it has.
another_machine postgres_clients 10.79.0
cluster
echo "host all all 10.79.0.0/24 trust" >> data/pg_hba.conf
start log "${user[@]}" postgres -F -D data -k "$PWD" -c listen_addresses=10.79.0.1
server=$pid
until_true 60 away pg_isready -q -h 10.79.0.1

mkfifo words
away psql -h 10.79.0.1 -U floe -AtX -v ON_ERROR_STOP=1 postgres < words > answers 2>&1 & client=$!
exec 9> words
has_answer() { [[ $(tail -n 1 answers) == "$1" ]]; }
# asks SQL ANSWER: psql sends it, and the last line that it then has is this one.
asks() {
    echo "$1" >&9
    until_true 40 has_answer "$2" || fail "$1: $(tail -c 300 answers) $(cat log)"
}
echo "select pg_backend_pid();" >&9
until_true 20 grep -q . answers
backend=$(cat answers)
asks "create table t (n int); begin; insert into t values (0); select 'begun';" begun
for round in 1 2; do
    checkpoint_kill "$server" "../image$round"
    sleep 0.3
    restore_detached "../image$round"
    no_table "round $round"
    asks "insert into t values ($round); select 'rows ' || count(*) from t;" "rows $((round + 1))"
done
# A query that runs while the checkpoint is made, and whose answer is longer than all queues.
echo "select pg_sleep(2); select repeat(md5(n::text), 400000) from generate_series(1, 3) n; select 'long';" >&9
sleep 0.5
checkpoint_kill "$server" ../image3
restore_detached ../image3
until_true 60 has_answer long || fail "$(tail -c 300 answers) $(cat log)"
asks "commit; select 'committed ' || count(*) from t;" "committed 3"
asks "select 'served by ' || pg_backend_pid();" "served by $backend"
for n in 1 2 3; do
    sum=$(echo -n "$n" | md5sum)
    [[ $(awk 'length > 1000000' answers | sed -n "${n}p") == "$(yes "${sum%% *}" | head -n 400000 | tr -d '\n')" ]] ||
        fail "answer $n differs"
done
exec 9>&-
wait "$client" || fail "psql: $(tail -c 300 answers)"
kill -9 -- "-$server"
kill "$there"
