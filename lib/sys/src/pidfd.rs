//! Handles of processes and descriptors through them.

use crate::{Error, Result, check, descriptors::made};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A handle of the process `pid`.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
        .map_err(|e| Error::new("open a handle of it", e).pid(pid as u32))
}

/// A duplicate of the descriptor `fd` of the process behind `pidfd`.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
        .map_err(|e| Error::new(format!("take a duplicate of its descriptor {fd}"), e))
}

/// Sends a signal to the process behind `pidfd`; 0 only asks whether it is there.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let nr = libc::SYS_pidfd_send_signal;
    // SAFETY: no siginfo is given, so the kernel reads no memory of ours.
    check(unsafe { libc::syscall(nr, pidfd.as_raw_fd(), signal, 0usize, 0) })
        .map_err(|e| Error::new(format!("send signal {signal}"), e))
        .map(drop)
}
