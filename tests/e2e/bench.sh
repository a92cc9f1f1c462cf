# scripts/bench.sh with everything small: its page has each row, with memory that came back as it was. Times do not matter here.
bench.sh -s -a -r 1 -d "$PWD" -w all -o out > said 2>&1 || fail "exit $?: $(cat said)"
for row in 1MiB 1024MiB mappings reserved sparse descriptors files eventfds mixed threads crowd processes tree lazy references \
    redis node java dirty1 dirty10 pipeline migrate; do
    grep -q "^| $row | " out/results.md || grep -q "^- $row, .*SKIPPED" out/results.md || fail "no row $row: $(cat said out/results.md)"
done
grep 'SKIPPED' out/results.md || true
python3 -c 'import sys, xml.dom.minidom
assert xml.dom.minidom.parse(sys.argv[1]).documentElement.tagName == "svg"' out/results.svg
! compgen -G 'floe-bench.*' > /dev/null || fail "left: $(ls)"
expect_exit 2 bench.sh -w "1MiB such"
