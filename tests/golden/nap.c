// Two threads, a POSIX timer, an alternate signal stack, pauses for ever; no libc: few pages.
static char data[64] = "floe", altstack[8192], stack[4096] __attribute__((aligned(16)));
static long call(long n, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d; long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return r;
}
void _start(void) {
    long ss[3] = {(long)altstack, 0, sizeof altstack}, timer = 0, spec[4] = {30, 0, 5000, 0};
    data[5] = 1;
    call(131, (long)ss, 0, 0, 0);
    call(222, 1, 0, (long)&timer, 0);
    call(223, timer, 0, (long)spec, 0);
    long flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;
    register long r10 __asm__("r10") = 0;
    __asm__ volatile("syscall\n test %%eax, %%eax\n jnz 2f\n 1: mov $34, %%eax\n syscall\n jmp 1b\n 2:"
        :: "a"(56L), "D"(flags), "S"(stack + sizeof stack), "d"(0L), "r"(r10) : "rcx", "r11", "memory");
    for (;;) call(34, 0, 0, 0, 0);
}
