# Two hosts for the scenarios of migration: mount and network namespaces, the other one with pids of its own.

mount --make-rprivate /
host() { # OPTION…: sets new to a process that keeps a host
    unshare -m -n "$@" bash -c 'sleep infinity & wait' & new=$!
    until_true 10 eval 'net=$(readlink /proc/$new/ns/net) && [[ $net != $(readlink /proc/self/ns/net) ]]'
}
host; here=$new
host -p -f --mount-proc
# Its init, which reaps.
until_true 10 pgrep -P "$new" bash > /dev/null
there=$(pgrep -P "$new" bash)
in_here() { nsenter -t "$here" -m -n -- bash -c 'cd "$0" && exec "$@"' "$PWD" "$@"; }
in_there() { nsenter -t "$there" -m -n -p "$@"; }
# So that what is started there has no number of what comes from here.
in_there sh -c 'echo 20000 > /proc/sys/kernel/ns_last_pid'
# What runs as $pid goes there.
migrate() { in_here migrate.sh "$pid" --by "nsenter -t $there -m -n -p" --to --join=net=here --to --join=mnt=here --on-change "append:$PWD/log" "$@"; }
not_running() { [[ $(awk "/^State/ { print \$2 }" "/proc/$1/status") != [RSD] ]]; } 2> /dev/null
is_there() { in_there sh -c "[ -e /proc/$pid ]"; }
end_there() { in_there kill -9 "$pid"; until_true 5 eval '! is_there'; }
