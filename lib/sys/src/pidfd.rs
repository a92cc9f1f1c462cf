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

/// ioctl_ns(2) with a request that gives a descriptor.
fn namespace_ioctl(namespace: BorrowedFd<'_>, request: u64, doing: &str) -> Result<OwnedFd> {
    // SAFETY: the request takes no argument and gives a new descriptor.
    made(unsafe { libc::ioctl(namespace.as_raw_fd(), request as _) }.into())
        .map_err(|e| Error::new(doing, e))
}

/// The user namespace that owns a namespace (NS_GET_USERNS). EPERM where it lies outside of ours.
pub fn namespace_owner(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace_ioctl(namespace, 0xb701, "find the owner of a namespace")
}

/// The parent of a pid or user namespace (NS_GET_PARENT). EPERM where it lies outside of ours.
pub fn namespace_parent(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    namespace_ioctl(namespace, 0xb702, "find the parent of a namespace")
}
