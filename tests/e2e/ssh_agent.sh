# ssh-agent with a key that is nowhere else: what it signs before and after two restores is good.
for program in ssh-agent ssh-add ssh-keygen; do
    if ! command -v $program > where; then echo "SKIPPED there is no $program"; exit 0; fi
done
start log ssh-agent -D -a "$PWD/agent"
export SSH_AUTH_SOCK=$PWD/agent
until_true 10 test -S agent || fail "$(cat log)"
ssh-keygen -q -t ed25519 -N '' -f key && ssh-add -q key && rm key
known=$(ssh-add -l)
echo "floe $(cat key.pub)" > signers
signs() { # NAME
    echo "text $1" > "$1"
    ssh-keygen -q -Y sign -f key.pub -n floe "$1" 2> errors &&
        ssh-keygen -q -Y verify -f signers -I floe -n floe -s "$1.sig" < "$1"
}
signs before || fail "$(cat errors)"
for round in 1 2; do
    checkpoint_kill "$pid" "image$round"
    restore_detached "image$round"
    [[ $(ssh-add -l) == "$known" ]] || fail "its keys differ"
    signs "after$round" || fail "round $round: $(cat errors)"
done
ssh-add -q -D && ! ssh-add -l > none || fail "the key is left"
end_group "$pid"
