# Unions that are seen from odd places, and files whose paths say less than they seem to: a program that maps and opens
# what it is told shows the same before and afterwards.
mount -t tmpfs none .
cd "$PWD"
cat > shows.c <<'SCRIPT'
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int count, char **word) {
    sigset_t set; int got, fd[32]; char *map[32] = {0}, where[4096];
    sigemptyset(&set); sigaddset(&set, SIGUSR1); sigprocmask(SIG_BLOCK, &set, 0);
    for (int n = 1; n < count; n++) {
        char *path = word[n] + 2;
        fd[n] = -1;
        switch (word[n][0]) {
        case 'r': if (chroot(path)) perror(path); break;
        case 'c': if (chdir(path)) perror(path); break;
        case 'o': if ((fd[n] = open(path, O_RDONLY)) < 0) perror(path); break;
        case 'm': map[n] = mmap(0, 8192, PROT_READ, MAP_PRIVATE, got = open(path, O_RDONLY), 0); close(got); break;
        case 'b': {
            struct sockaddr_un name = {.sun_family = AF_UNIX};
            strcpy(name.sun_path, path);
            if (bind(fd[n] = socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, sizeof name)) perror(path);
        } }
    }
    for (;;) {
        for (int n = 1; n < count; n++) {
            char bytes[5] = {0};
            struct sockaddr_un name = {0}; socklen_t len = sizeof name;
            if (map[n]) memcpy(bytes, map[n], 4);
            else if (word[n][0] == 'b') getsockname(fd[n], (void *)&name, &len);
            else if (fd[n] >= 0) pread(fd[n], bytes, 4, 0);
            printf("%s=%s%s ", word[n], bytes, name.sun_path);
        }
        puts(getcwd(where, sizeof where) ? where : "nowhere"); fflush(stdout);
        sigwait(&set, &got);
    }
}
SCRIPT
gcc -o shows shows.c
fill() { for file in a b; do head -c 8192 /dev/zero | tr '\0' "${2:-$file}" > "$1/$file"; done; }
fresh() { # an overlay at ./u, over ./low
    end_all
    mkdir -p low/sub low/s2 up work u u2 other up2 work2 base
    fill low; fill low/sub; fill low/s2 z; fill other q
    stack "${1:-u}"
}
end_all() {
    # The topmost first.
    awk -v top="$PWD/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r -n 1 umount -l
    rm -rf low up work u u2 other up2 work2 base
}
stack() { mount -t overlay "${2:-none}" -o "${3:+$3,}lowerdir=$PWD/low,upperdir=$PWD/up,workdir=$PWD/work" "$1"; }
shows() { start log "$PWD/shows" "$@"; until_true 10 test -s log; said=$(tail -n 1 log); }
changed() { printf 'NEW' | dd of="$1" conv=notrunc status=none; }
longer_than() { (($(wc -l < log) > $1)); } # LINES
same() { # WHEN
    local lines; lines=$(wc -l < log)
    kill -USR1 "$pid"; until_true 10 longer_than "$lines"
    [[ $(tail -n 1 log) == "$said" ]] || fail "$1: $(tail -n 1 log) instead of $said"
}
taken() { checkpoint_kill "$pid" image; size=$(stat -c %s log); }
comes_back() { # WHAT RESTORE-OPTIONS…
    local what=$1; shift
    # It goes on writing where it was.
    truncate -s "$size" log
    restore --detach --on-change "append:$PWD/log" "$@" < image || fail "$what: restore: exit $?"
    same "$what"
}
over() { kill -9 "$pid"; until_true 5 test ! -e "/proc/$pid"; }

# The root of the process is a directory of the union: its own mountinfo shows no mount at all.
fresh
shows r:"$PWD/u/sub" c:/ m:/a o:/b
changed u/sub/a
same 'the fault itself'
taken; comes_back 'a root inside of a union'; over
umount u
expect_exit 3 restore --detach < image
comes_back 'a root inside of a union, rebuilt' --rebuild-unions; over

# Mapped and opened outside of the root that came later; a directory and a file of a branch by their own names.
fresh
echo UPPERUPPER > u/b; mkdir low/here
shows m:"$PWD/u/a" o:"$PWD/low/b" c:"$PWD/low/here" r:"$PWD/u"
changed u/a
where=$(readlink "/proc/$pid/cwd")
taken; comes_back 'outside of the root'
[[ $(readlink "/proc/$pid/cwd") == "$where" ]] || fail "it stands in $(readlink "/proc/$pid/cwd") instead of $where"
over

# A union on a union, of which the kernel names mappings from a root of its own; and what is mounted over a file.
fresh base
cp shows base/
mount -t overlay none -o "lowerdir=$PWD/base,upperdir=$PWD/up2,workdir=$PWD/work2" u
start log "$PWD/u/shows" m:"$PWD/u/a" o:"$PWD/u/b"; until_true 10 test -s log; said=$(tail -n 1 log)
taken; comes_back 'a union on a union'; over
umount u base
comes_back 'a union on a union, rebuilt' --rebuild-unions
[[ $(readlink "/proc/$pid/exe") == "$PWD/u/shows" ]] || fail "it runs $(readlink "/proc/$pid/exe")"
over
fresh
shows m:"$PWD/u/a" m:"$PWD/other/b"
mount --bind other/a u/a; fill u2 x; mount --bind u2 other
taken; comes_back 'what was mounted over'; over

# A branch that holds everything, and a socket in a branch by its own name.
fresh
mount -t overlay none -o "lowerdir=/,upperdir=$PWD/up2,workdir=$PWD/work2" u2
shows b:"$PWD/other/socket" b:"$PWD/up/socket" o:"$PWD/low/a"
taken; comes_back 'names in branches'; over

# A part of a union: another part is not the same. Flags and source come back as well.
fresh
mount --bind u/sub u2
shows m:"$PWD/u2/a" o:"$PWD/u2/b"
taken
umount u2; mount --bind u/s2 u2
expect_exit 3 restore --detach < image
grep -q 'shows its part /s2 now, and showed /sub' stderr || fail "$(cat stderr)"
umount u2
comes_back 'a part, bound again' --rebuild-unions; over
umount u2 u
comes_back 'a part, mounted again' --rebuild-unions; over
end_all; mkdir -p low up work u; fill low
stack u source nosuid,nodev,noexec,noatime
shows m:"$PWD/u/a"
taken
line() { awk -v point="$PWD/u" '$5 == point { $1 = $2 = $3 = ""; print }' /proc/self/mountinfo; }
was=$(line); umount u
comes_back 'flags' --rebuild-unions; over
[[ $(line) == "$was" ]] || fail "$(line) instead of $was"
umount u; mount -t overlay none -o "ro,nosuid,nodev,noexec,lowerdir=$PWD/low,upperdir=$PWD/up,workdir=$PWD/work" u
expect_exit 3 restore --detach < image
grep -q 'has ro now, and had rw' stderr || fail "$(cat stderr)"

# Two unions at one place cannot both come back; the tree lives on. Nor is a second one made of one upper directory.
fresh
shows m:"$PWD/u/a"; first=$pid
mount -t tmpfs none u
expect_exit 3 restore --detach --rebuild-unions < image
grep -q 'is in use by the mount at' stderr || fail "$(cat stderr)"
end_all
start log python3 -c '
import mmap, os, subprocess, sys, time
if (child := os.fork()) == 0:
    os.unshare(os.CLONE_NEWNS) if hasattr(os, "unshare") else __import__("ctypes").CDLL(None).unshare(0x20000)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
for name in ["one", "two"] if child else ["three", "four"]: os.makedirs(name, exist_ok=True)
lower, upper = ("one", "two") if child else ("three", "four")
os.makedirs("u", exist_ok=True); os.makedirs("work-" + upper, exist_ok=True)
open(lower + "/file", "w").write(lower * 2000)
where = os.getcwd()
subprocess.run(["mount", "-t", "overlay", "none", "-o",
    f"lowerdir={where}/{lower},upperdir={where}/{upper},workdir={where}/work-{upper}", where + "/u"], check=True)
held = open("u/file", "rb")
open(lower + ".ready", "w")
time.sleep(1000)'
until_true 20 test -e one.ready -a -e three.ready
expect_exit 3 checkpoint.sh "$pid" -o image --kill
grep -q 'sees another union there' stderr || fail "$(cat stderr)"
kill -0 "$pid" || fail "it was killed"
kill -9 -- "-$pid" "$first" 2> /dev/null || true
