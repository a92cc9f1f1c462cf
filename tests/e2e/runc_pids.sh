# A container of runc in the pid namespace of somebody else, as in a pod that shares it: no restore could go there, so the checkpoint is
# refused, by name, and the container runs on.
. "$dir/containers.sh"
unshare -pf --kill-child sleep infinity 3>&- 251>&- &
until_true 10 pgrep -P $! > /dev/null
keeper=$(pgrep -P $!)
bundle sh -c 'while read -r line; do echo "got $line"; done' << SCRIPT
for namespace in config["linux"]["namespaces"]:
    if namespace["type"] == "pid": namespace["path"] = "/proc/$keeper/ns/pid"
SCRIPT
start_box
runs || fail "it does not answer: $(cat out)"
for how in '' --leave-running; do
    if box checkpoint $how --image-path "$PWD/images" --work-path "$PWD/work" "$id" > said 2>&1; then fail 'it was not refused'; fi
    grep -q 'Error (floe): external pid\[[0-9]*\]:extRootPidNS: the pid namespace of others cannot be joined by a restore' work/dump.log ||
        fail "$(cat said work/dump.log)"
    [[ ! -e images/floe.img ]] || fail 'an image is left'
    runs || fail 'it was refused, and stands still'
    [[ $(status_of_box) == running ]] || fail "$(status_of_box)"
done
delete_box
kill "$keeper"
