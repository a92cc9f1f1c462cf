/* For a CRIU that is older than the kernel: since Linux 6.16 only UNIX sockets can be asked for SO_PASSCRED and SO_PASSSEC, and
 * CRIU 4.1 takes that for a failure of its checkpoint. Preloaded, this answers for others what older kernels did: no.
 * It needs no C library, so that any can be beside it. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict size)
{
    register long fourth __asm__("r10") = (long)value;
    register long fifth __asm__("r8") = (long)size;
    long got;

    __asm__ volatile("syscall" : "=a"(got) : "a"(SYS_getsockopt), "D"((long)fd), "S"((long)level), "d"((long)option),
                     "r"(fourth), "r"(fifth) : "rcx", "r11", "memory");
    if (got == -EOPNOTSUPP && level == SOL_SOCKET && (option == SO_PASSCRED || option == SO_PASSSEC)) {
        *(int *)value = 0;
        return 0;
    }
    if (got < 0) {
        errno = (int)-got;
        return -1;
    }
    return 0;
}
