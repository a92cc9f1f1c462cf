# git clone over TCP, in the middle: the daemon and what it has started (upload-pack, pack-objects) are killed and come back twice, and the
# clone is whole.
type -p git tc > /dev/null && [[ -x $(git --exec-path)/git-daemon ]] || { echo "SKIPPED there is no git daemon, or no tc(8)"; exit 0; }
another_machine git_clients 10.82.0
# A slow line: 40 Mbit/s are 5 MB in a second.
tc qdisc add dev near root tbf rate 40mbit burst 64kb latency 200ms || { echo "SKIPPED no line can be made slow"; exit 0; }
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
git config --global user.name floe
git config --global user.email floe@example.org
git config --global safe.directory '*'
git init -q project
for n in 1 2 3; do
    for f in a b c d; do head -c 3M /dev/urandom > "project/$f"; done
    git -C project add .
    git -C project commit -qm "commit $n"
done
start log git daemon --export-all --base-path="$PWD" --listen=10.82.0.1 --port=9418 --reuseaddr
server=$pid
until_true 20 away git ls-remote git://10.82.0.1/project > /dev/null

away git clone -q git://10.82.0.1/project copy > clone 2>&1 & clone=$!
received() { (($(du -s copy | cut -f 1) > $1)); }
for round in 1 2; do
    until_true 40 received $((round * 4000)) || fail "before round $round: $(cat clone log)"
    [[ ! -e copy/a ]] || fail "it has ended before round $round"
    checkpoint_kill "$server" "image$round"
    sleep 0.3
    restore_detached "image$round"
    no_table "round $round"
done
wait "$clone" || fail "$(cat clone log)"
git -C copy fsck --full --strict > fsck 2>&1 || fail "$(cat fsck)"
[[ $(git -C copy rev-parse HEAD) == "$(git -C project rev-parse HEAD)" ]] || fail "another commit"
cmp copy/d project/d
kill -9 -- "-$server"
kill "$there"
