# One fixture of tests/fixtures/lost ($1): what it names is lost. freeze --check says so and refuses nothing; with --strict the
# same sentences are refusals; the checkpoint has them in a record, which imgpack and restore show.
ip link set lo up 2> /dev/null || true
fixture=$FLOE_FIXTURES/lost/$1.py
start log env PYTHONPATH="$FLOE_FIXTURES" PYTHONDONTWRITEBYTECODE=1 python3 "$fixture"
until_true 30 grep -Eq '^(ready|SKIPPED)|Error' log
if grep SKIPPED log; then exit 0; fi
grep -q ready log || fail "$(cat log)"
target=$(sed -n 's/^ready //p' log)
grep -q '^# lost: ' "$fixture" || fail "the fixture names no sentence"

says() { # FILE PREFIX: every sentence, and nothing else
    while read -r sentence; do
        grep -Eq -- "^$2.*$sentence" "$1" || fail "$1 does not say \"$sentence\": $(cat "$1")"
    done < <(sed -n 's/^# lost: //p' "$fixture")
    local many
    many=$(grep -Ec -- "^$2" "$1" || true)
    [[ $many == $(grep -c '^# lost: ' "$fixture") ]] || fail "$1 says more: $(cat "$1")"
}

# What only the process itself can tell shows when it stands still.
behind=$(grep -c '^# behind the stop' "$fixture" || true)
freeze --check "$target" > check || fail "--check: exit $?"
((behind)) || says check "lost: "
grep -q "^pid $target: ok" check || fail "$(cat check)"
freeze --check --json "$target" > lines || fail "--json: exit $?"
python3 -c 'import json, sys
for line in map(json.loads, sys.stdin):
    print(line["verdict"] + ":", line["object"] + ": " + line["problem"])' < lines > json
if ((!behind)); then
    says json "lost: "
    expect_exit 3 freeze --check --strict "$target" > out
    says stderr "freeze: "
fi
expect_exit 3 freeze --strict "$target" -- cat > out
[[ ! -s out ]] || fail "--strict wrote something"
says stderr "freeze: "

checkpoint_kill "$target" image
imgpack --list image > list
grep -q Losses list || fail "imgpack shows no losses: $(cat list)"
imgpack --json image | grep '"Losses"' | python3 -c 'import json, sys
for lost in json.loads(sys.stdin.read())["body"]["lost"]:
    print("lost:", lost["object"] + ": " + lost["problem"])' > record
says record "lost: "
restore.sh image --detach 2> stderr || fail "restore: $(cat stderr)"
says stderr "restore: lost: "
kill -USR1 "$target"
until_true 10 grep -q passed log
