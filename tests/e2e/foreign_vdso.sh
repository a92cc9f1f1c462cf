# A tree that comes from a kernel with another vdso: its programs go on to call the functions of that, which lead to those of this
# kernel. The code that had been there would end them.
cat > clocks.c << 'SCRIPT'
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static void look(void) {
    struct timespec real, steady, fine;
    struct timeval day;
    unsigned cpu, node;
    clock_gettime(CLOCK_MONOTONIC, &steady);
    clock_gettime(CLOCK_REALTIME, &real);
    gettimeofday(&day, 0);
    if (labs(real.tv_sec - day.tv_sec) > 1 || labs(real.tv_sec - time(0)) > 1) abort();
    if (clock_getres(CLOCK_REALTIME, &fine) || getcpu(&cpu, &node)) abort();
}
static void *more(void *none) { for (;;) { look(); usleep(1000); } }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, more, 0);
    for (long n = 1;; n++) {
        for (int i = 0; i < 1000; i++) look();
        printf("%ld\n", n);
        fflush(stdout);
        usleep(10000);
    }
}
SCRIPT
cc -O1 -pthread -o clocks clocks.c
start out ./clocks
until_true 10 grep -q '^3$' out
freeze --then kill "$pid" -- sh -c 'dumpfs | aufsfix | fixture-vdso | dumpmem | imgpack -o image' || fail "checkpoint: exit $?"
until_true 5 test ! -e "/proc/$pid"
restore_detached image
until_true 10 grows out
# It asks the kernel for nothing that it did not ask for before.
timeout 1 strace -qf -p "$pid" -e trace=clock_gettime,gettimeofday,time,getcpu,clock_getres -o trace || true
[[ ! -s trace ]] || fail "it makes system calls: $(sort trace | uniq -c | head -n 3)"

# Once more, on the kernel that it is on now.
checkpoint_kill "$pid" image
restore_detached image
until_true 10 grows out
kill -9 "$pid"
