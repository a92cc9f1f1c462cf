# Chromium with its sandbox: user, pid and network namespaces, seccomp filters, a root in /proc of a process that has ended. Its page goes
# on counting where it was, a new page opens, and its renderers are in the sandbox as before. The package is large, so: scripts/test.sh --all
# tests it where it is installed.
[[ -n ${FLOE_ALL_FAULTS-} ]] || { echo 'SKIPPED a browser takes minutes (scripts/test.sh --all)'; exit 0; }
type -p chromium > /dev/null || { echo 'SKIPPED there is no chromium'; exit 0; }
chmod 755 .
install -d -o 65534 -g 65534 home
cat > page.html <<'PAGE'
<title>0</title><script>setInterval(() => { document.title = Number(document.title) + 1; }, 50);</script>
PAGE
port=$((20000 + RANDOM % 10000))
# It has no desktop bus and no screen, and wants neither.
start chromium.log setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" HOME="$PWD/home" \
    chromium --headless=new --disable-gpu --no-first-run --user-data-dir="$PWD/home/data" --remote-debugging-port=$port \
    --disable-background-networking --disable-dev-shm-usage "file://$PWD/page.html"
pages() { curl -sf --max-time 5 "http://127.0.0.1:$port/json/list"; }
# The number in the title of the page.
title() { pages | python3 -c 'import json, sys; print(next(page["title"] for page in json.load(sys.stdin) if "page.html" in page["url"]))'; }
counts() { local now; now=$(title) && ((now > $1)); } 2> /dev/null
until_true 60 counts 3 || fail "$(cat chromium.log)"
# Processes of it whose root is the directory of one that has ended; others come and go.
sandboxed() { find /proc -maxdepth 2 -name root -lname '/proc/*/fdinfo*' 2> /dev/null | sort; }
before=$(sandboxed)
[[ -n $before ]] || fail 'nothing of it is in a sandbox'
for round in 1 2; do
    now=$(title)
    checkpoint.sh "$pid" -o image --kill --outside null || fail "checkpoint $round: $?"
    restore_detached image || fail "restore $round"
    until_true 20 counts "$now" || fail "its page stands still after restore $round"
    (($(title) < now + 1000)) || fail "its page has begun anew"
    again=$(comm -12 <(sandboxed) <(echo "$before"))
    (($(wc -l <<< "$again") > 1)) || fail "in the sandbox: $before, then $(sandboxed)"
    curl -sf --max-time 10 -X PUT "http://127.0.0.1:$port/json/new?data:text/html,<title>new$round</title>" > /dev/null || fail 'no new page'
    until_true 20 eval 'pages | has_line "new'$round'"' || fail "a new page does not open after restore $round"
    rm image
done
