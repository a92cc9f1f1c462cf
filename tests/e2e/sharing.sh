# Threads that have left what their process shares are refused; a child of vfork(2), which shares memory for a moment, is no
# reason to.
cat > sharing.c <<'SCRIPT'
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static void *thread(void *flags) { unshare((long)flags); pause(); return 0; }
int main(int count, char **word) {
    static const struct { const char *name; long thread; } ways[] = {
        {"own-table", CLONE_FILES}, {"own-directory", CLONE_FS}, {"own-net", CLONE_NEWNET},
    };
    pthread_t other;
    for (int n = 0; n < sizeof ways / sizeof *ways; n++) {
        if (strcmp(word[1], ways[n].name)) continue;
        pthread_create(&other, 0, thread, (void *)ways[n].thread);
    }
    if (!strcmp(word[1], "vfork") && !vfork()) { usleep(300000); execlp("sleep", "sleep", "1000", NULL); }
    puts("ready"); fflush(stdout);
    for (long n = 0; !strcmp(word[1], "spawn"); n++) {
        char *words[] = {"true", 0};
        pid_t pid; int status;
        if (posix_spawnp(&pid, "true", 0, 0, words, environ) || waitpid(pid, &status, 0) != pid || status) abort();
        printf("%ld\n", n); fflush(stdout);
    }
    pause();
}
SCRIPT
gcc -o sharing sharing.c -lpthread
refused() { # HOW SENTENCE
    start log ./sharing "$1"
    until_true 10 grep -q ready log
    sleep 0.05
    expect_exit 3 freeze --check "$pid"
    mv stderr check
    expect_exit 3 freeze "$pid" -- true
    grep -q "$2" stderr || fail "$1: $(cat stderr)"
    cmp -s stderr check || fail "$1: two answers: $(diff stderr check)"
    [[ $(awk '/^TracerPid/ { print $2 }' "/proc/$pid/status") == 0 ]] || fail "$1: still traced"
    end_group "$pid"
}
refused own-table 'descriptor table: thread .* has one of its own'
refused own-directory 'working directory, root and umask: thread .* has one of its own'
refused own-net 'net namespace: thread .* has one of its own'

# The parent waits in vfork(2) for longer than freeze looks ahead, and less long than it runs after the tree.
start log ./sharing vfork
sleep 0.1
freeze "$pid" -- true || fail "a child of vfork: exit $?"
end_group "$pid"

start log ./sharing spawn
until_true 10 grep -q '^3$' log
for round in {1..10}; do
    checkpoint.sh "$pid" -o image --leave-running || fail "round $round: exit $?"
done
checkpoint_kill "$pid" image
restore_detached image
grows log || fail "it stands still"
grep -v ready log | awk '{ if ($1 != n++) exit 1 }' || fail "a number is lost or doubled"
end_group "$pid"
