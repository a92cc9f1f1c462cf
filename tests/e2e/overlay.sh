# A program and its libraries from the lower layers of an overlay; one library is copied up and one deleted after
# it was mapped. Restored on the same mount, on one that --rebuild-unions brings back, chrooted and in a mount
# namespace of its own.
mount -t tmpfs none .
cd "$PWD"
mid="layer/mid ü:1"
mkdir -p layer/base/{bin,lib,proc,dev,tmp} "$mid/lib" layer/top layer/work union
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
    where=layer/base/lib; [[ $part == raised ]] && where=$mid/lib
    gcc -shared -fPIC -DNAME="'${part:2:1}'" -DFUNCTION=$part -o "$where/lib$part.so" part.c
done
gcc -o app app.c -Llayer/base/lib -L"$mid/lib" -lplain -lraised -lremoved -Wl,-rpath,/lib
mv app layer/base/bin
bring() { # FILE DIR: a program into the lowest layer, with what it is linked to
    local file
    cp -L "$1" "layer/base/$2"
    for file in $(ldd "$1" | grep -o '/[^ ]*\.so[^ ]*'); do
        mkdir -p "layer/base$(dirname "$file")"; cp -L "$file" "layer/base$file"
    done
}
bring "$(type -P sleep)" bin
stack() { mount -t overlay none -o "lowerdir=$PWD/${mid/:/\\:}:$PWD/layer/base,upperdir=$PWD/layer/top,workdir=$PWD/layer/work" union; }
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
imgpack --list untouched | has_line Union || fail "the stack is not in the image"
restore_detached untouched
asks 1 log
change
asks 2 log
checkpoint_kill "$pid" changed
size=$(stat -c %s log)
restore_detached changed
asks 3 log
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"

umount union
expect_exit 3 restore --detach < changed
grep -q 'rebuild-unions' stderr || fail "$(cat stderr)"
mv "$mid" layer/elsewhere
expect_exit 3 restore --detach --rebuild-unions < changed
grep -qF "$mid is gone" stderr || fail "$(cat stderr)"
mv layer/elsewhere "$mid"
truncate -s "$size" log
restore --detach --rebuild-unions --on-change append < changed
asks 3 log
kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"
umount union

# The union as the root of a mount namespace of its own, restored by a floe that is started in there.
rm -rf layer/top layer/work; mkdir layer/top layer/work
for tool in umount setsid "$FLOE_TOOLS/restore"; do bring "$(type -P "$tool")" bin; done
mkdir layer/base/old; touch layer/base/dev/null
stack
mount -t proc none union/proc
mount --bind "$PWD" union/tmp
mount --bind /dev/null union/dev/null
unshare -m --propagation private bash -c 'cd union && pivot_root . old && /bin/umount -l /old &&
    /bin/setsid --fork /bin/app > /tmp/inner 2>&1 < /dev/null && exec /bin/sleep 1000' &
keeper=$!
until_true 10 grep -sq 'ready 3' inner
pid=$(pgrep -x app)
umount union/tmp union/dev/null union/proc union
asks 1 inner
expect_exit 0 checkpoint.sh "$pid" -o inside --kill
size=$(stat -c %s inner)
nsenter --mount="/proc/$keeper/ns/mnt" /bin/restore --detach < inside
asks 2 inner
kill -9 "$pid" "$keeper"
# The namespace is gone, and the union with it: both are made again.
until_true 5 test ! -e "/proc/$pid"
wait "$keeper" || true
truncate -s "$size" inner
restore --detach --on-change append < inside
asks 2 inner
[[ $(readlink "/proc/$pid/ns/mnt") != $(readlink /proc/self/ns/mnt) ]] || fail 'it is in our mount namespace'
kill -9 "$pid"
