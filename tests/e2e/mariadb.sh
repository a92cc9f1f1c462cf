# MariaDB, whose InnoDB uses io_uring: killed and restored three times between statements, with all rows there, up to a clean end.
mkdir data
chown -R mysql . && chmod 755 .
mariadb-install-db --no-defaults --datadir="$PWD/data" --user=mysql > install.log 2>&1 || fail "$(cat install.log)"
start log mariadbd --no-defaults --user=mysql --datadir="$PWD/data" --socket="$PWD/data/socket" --skip-networking --pid-file="$PWD/data/pid"
sql() { mariadb --no-defaults -S "$PWD/data/socket" -N -e "$1"; }
answers() { sql 'select 1' > /dev/null 2>&1; }
until_true 60 answers || fail "$(cat log)"
if ! ls -l "/proc/$pid/fd" | has_line '\[io_uring\]'; then echo "SKIPPED this MariaDB does not use io_uring"; exit 0; fi
sql 'create database d; create table d.t (n int primary key, text varchar(1000)) engine=innodb'
for round in 1 2 3; do
    for n in {1..50}; do sql "insert into d.t values ($((1000 * round + n)), repeat('x', 1000))"; done
    checkpoint_kill "$pid" image
    restore_detached image
    until_true 20 answers || fail "$(cat log)"
    [[ $(sql 'select count(*) from d.t') == $((50 * round)) ]] || fail "rows are missing"
done
[[ $(sql 'check table d.t') == *OK* ]] || fail "$(sql 'check table d.t')"
# A clean end writes all that is still in memory.
sql shutdown
until_true 60 test ! -e "/proc/$pid"
grep -q 'Shutdown complete' log || fail "$(cat log)"
