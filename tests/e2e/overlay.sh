# A program and its libraries from the lower layers of an overlay; one library is copied up and one deleted after
# it was mapped. Restored on the same mount, on one that --rebuild-unions brings back, chrooted and in a mount
# namespace of its own.
mount -t tmpfs none .
cd "$PWD"
mkdir -p layer/base/{bin,lib,proc,dev,tmp} layer/mid/lib layer/top layer/work union
cat > part.c <<'SCRIPT'
static const char text[8192] = {[0] = NAME, [8000] = NAME};
volatile int far_away = 8000;
int FUNCTION(void) { return text[0] == NAME && text[far_away] == NAME; }
SCRIPT
cat > app.c <<'SCRIPT'
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int plain(void), raised(void), removed(void);
int main(void) {
    sigset_t set; int got, n = 0;
    sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, 0);
    printf("ready %d\n", plain() + raised() + removed()); fflush(stdout);
    while (sigwait(&set, &got) == 0) {
        printf("%s %d\n", plain() + raised() + removed() == 3 ? "passed" : "FAILED", ++n); fflush(stdout);
    }
}
SCRIPT
for part in plain raised removed; do
    where=layer/base/lib; [[ $part == raised ]] && where=layer/mid/lib
    gcc -shared -fPIC -DNAME="'${part:2:1}'" -DFUNCTION=$part -o $where/lib$part.so part.c
done
gcc -o layer/base/bin/app app.c -Llayer/base/lib -Llayer/mid/lib -lplain -lraised -lremoved -Wl,-rpath,/lib
for file in $(ldd layer/base/bin/app | grep -o '/[^ ]*\(libc\|ld-linux\)[^ ]*'); do
    mkdir -p "layer/base$(dirname "$file")"; cp -L "$file" "layer/base$file"
done
stack() { mount -t overlay none -o "lowerdir=$PWD/layer/mid:$PWD/layer/base,upperdir=$PWD/layer/top,workdir=$PWD/layer/work" union; }
change() {
    # Rewritten in place: the union shows new content, the mapping must keep the old one.
    printf 'other content' | dd of=union/lib/libraised.so conv=notrunc bs=1 seek=4096 status=none
    rm union/lib/libremoved.so
}
asks() { kill -USR1 "$pid"; until_true 5 grep -Eq "(passed|FAILED) $1\$" "$2"; grep -q "passed $1\$" "$2" || fail "$(cat "$2")"; }

stack
start log chroot "$PWD/union" /bin/app
until_true 10 grep -q 'ready 3' log
checkpoint_kill "$pid" untouched
imgpack --list untouched | grep -q Union || fail "the stack is not in the image"
restore_detached untouched
asks 1 log
change
asks 2 log
checkpoint_kill "$pid" changed
restore_detached changed
asks 3 log
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"

umount union
expect_exit 3 restore --detach < changed
grep -q 'rebuild-unions' stderr || fail "$(cat stderr)"
mv layer/mid layer/elsewhere
expect_exit 3 restore --detach --rebuild-unions < changed
grep -q 'layer/mid is gone' stderr || fail "$(cat stderr)"
mv layer/elsewhere layer/mid
restore --detach --rebuild-unions < changed
asks 4 log
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"
umount union

# The union as the root of a mount namespace of its own; floe runs inside of it by nsenter.
rm -rf layer/top layer/work; mkdir layer/top layer/work
stack
mkdir union/old
touch inner
unshare -m bash -c 'cd union && mount --bind "$1" tmp && mount -t proc proc proc && pivot_root . old && exec /bin/app' bash "$PWD" \
    > inner 2>&1 < /dev/null & waiter=$!
until_true 10 grep -q 'ready 3' inner
pid=$(pgrep -x app)
echo "in $pid" >&2
wait "$waiter" 2> /dev/null & true
