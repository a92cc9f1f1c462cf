# psql in the middle of a transaction with its PostgreSQL server, over a UNIX socket between the two in the tree: what it has written
# is seen by nobody else before it commits, across two checkpoints, and by everybody afterwards.
cluster
cat > both.sh << 'END'
postgres -F -D data -k "$PWD" -c listen_addresses= > server.log 2>&1 &
until pg_isready -q -h "$PWD"; do sleep 0.1; done
exec 3> >(exec psql -h "$PWD" -U floe -At -v ON_ERROR_STOP=1 postgres > answers 2> errors)
echo 'create table t (n int); begin; select pg_backend_pid(); insert into t values (1);' >&3
for round in 1 2; do
    until [[ -e go$round ]]; do sleep 0.05; done
    echo "insert into t select n + $round from t; select count(*), pg_backend_pid() from t;" >&3
done
until [[ -e go3 ]]; do sleep 0.05; done
echo 'commit;' >&3
wait
END
start log "${user[@]}" bash both.sh
lines() { (($(wc -l < answers) == $1)); }
inserted() { grep -qx 'INSERT 0 1' answers 2> /dev/null; }
until_true 60 inserted || fail "$(cat log server.log errors)"
backend=$(sed -n 3p answers)
for round in 1 2; do
    checkpoint_kill "$pid" "../image$round"
    restore_detached "../image$round"
    [[ $(number 'select count(*) from t') == 0 ]] || fail "others see what is not committed"
    touch "go$round"
    until_true 20 grep -qx "$((1 << round))|$backend" answers || fail "round $round: $(cat answers errors)"
done
touch go3
until_true 20 grep -qx COMMIT answers || fail "$(cat answers errors)"
[[ $(number 'select count(*), sum(n) from t') == "4|10" ]] || fail "$(number 'table t')"
end_group "$pid"
