//! Kernel objects that only a descriptor names: signalfd, timerfd, shared anonymous memory.

use crate::{Error, Result, check, descriptors::made};
use std::{
    fs::File,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// TFD_IOC_SET_TICKS of include/uapi/linux/timerfd.h.
const SET_TICKS: u64 = 0x4008_5400;

/// signalfd4(2), close-on-exec; `mask` has bit n-1 for signal n.
pub fn signalfd(mask: u64) -> Result<OwnedFd> {
    let nr = libc::SYS_signalfd4;
    // SAFETY: the mask is eight bytes, as the third argument says.
    made(unsafe { libc::syscall(nr, -1, std::ptr::from_ref(&mask), 8, libc::SFD_CLOEXEC) })
        .map_err(|e| Error::new("make a signalfd", e))
}

/// timerfd_create(2), close-on-exec.
pub fn timerfd(clock: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::timerfd_create(clock, libc::TFD_CLOEXEC) } as i64)
        .map_err(|e| Error::new("make a timerfd", e))
}

/// timerfd_settime(2); nanoseconds.
pub fn timerfd_set(fd: BorrowedFd<'_>, flags: i32, value_ns: u64, interval_ns: u64) -> Result<()> {
    let time = |ns: u64| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    };
    let new = libc::itimerspec { it_interval: time(interval_ns), it_value: time(value_ns) };
    // SAFETY: `new` is a live local, the old setting is not asked for.
    let done = unsafe { libc::timerfd_settime(fd.as_raw_fd(), flags, &new, std::ptr::null_mut()) };
    check(done as i64).map(drop).map_err(|e| Error::new("set a timerfd", e))
}

/// timerfd_gettime(2): makes the kernel count the expirations so far, which it otherwise does at the next read(2).
pub fn timerfd_count(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: an all-zero itimerspec is valid.
    let mut now: libc::itimerspec = unsafe { std::mem::zeroed() };
    // SAFETY: `now` is a live local.
    let done = unsafe { libc::timerfd_gettime(fd.as_raw_fd(), &mut now) };
    check(done as i64).map(drop).map_err(|e| Error::new("read a timerfd", e))
}

/// Sets the number of expirations that have not been read.
pub fn timerfd_set_ticks(fd: BorrowedFd<'_>, ticks: u64) -> Result<()> {
    // SAFETY: the kernel reads eight bytes.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), SET_TICKS, std::ptr::from_ref(&ticks)) };
    check(done as i64).map(drop).map_err(|e| Error::new("set the ticks of a timerfd", e))
}

/// Shared anonymous memory of `len` bytes, as the file that backs it (needs CAP_CHECKPOINT_RESTORE). `page` is the size of its
/// pages, `flags` are more of mmap(2): MAP_NORESERVE, and those that ask for pages of that size.
pub fn shared_memory(len: u64, page: u64, flags: u32) -> Result<File> {
    let fail = |e| Error::new("make shared memory", e);
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | flags as i32;
    let len = len.next_multiple_of(page) as usize;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(fail(std::io::Error::last_os_error()));
    }
    let range = at as usize..at as usize + len;
    let path = format!("/proc/self/map_files/{:x}-{:x}", range.start, range.end);
    let file = File::options().read(true).write(true).open(path).map_err(fail);
    // SAFETY: the mapping was made above and no reference to it exists.
    check(unsafe { libc::munmap(at, len) } as i64).map_err(fail)?;
    file
}
