//! Numbers of descriptors as typed values.

use crate::{Error, Result, check};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

/// Descriptors below are standard input, output and error, which std owns.
const FIRST: RawFd = 3;

/// Takes what a system call has just made, or its error.
pub(crate) fn made(result: i64) -> io::Result<OwnedFd> {
    let fd = check(result)? as RawFd;
    // SAFETY: callers pass the result of a call that makes a descriptor, which nobody else knows yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A duplicate, close-on-exec, of a descriptor that the caller of this program has left open for it, or of standard
/// input, output or error. EBADF for all others, those that this program has opened itself included.
pub fn duplicate_inherited(fd: RawFd) -> Result<OwnedFd> {
    let fail = |e| Error::new(format!("duplicate the inherited descriptor {fd}"), e);
    inherited(fd).map_err(fail)?;
    // SAFETY: numbers only.
    made(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST) }.into()).map_err(fail)
}

/// What has passed execve(2) is not close-on-exec, and all that this program opens is.
fn inherited(fd: RawFd) -> io::Result<()> {
    // SAFETY: numbers only.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())?;
    let own = flags as i32 & libc::FD_CLOEXEC != 0;
    if own { Err(io::Error::from_raw_os_error(libc::EBADF)) } else { Ok(()) }
}

/// A duplicate, close-on-exec, with the lowest free number from `lowest` on.
pub fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) }.into())
        .map_err(|e| Error::new(format!("duplicate a descriptor to {lowest} or above"), e))
}

/// Closes all of these. For many it takes a fraction of the time of closing one by one.
pub fn close_all(fds: impl IntoIterator<Item = OwnedFd>) {
    let mut numbers: Vec<RawFd> = fds.into_iter().map(IntoRawFd::into_raw_fd).collect();
    numbers.sort_unstable();
    for run in numbers.chunk_by(|one, next| one + 1 == *next) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            // SAFETY: numbers that we owned, and nobody else.
            unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0) };
        }
    }
}

/// Makes the number of `place` name what `fd` names (dup3(2)); it stays close-on-exec.
pub fn replace_descriptor(place: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only; both are open, and the owner of `place` goes on to own that number.
    check(unsafe { libc::dup3(fd.as_raw_fd(), place.as_raw_fd(), libc::O_CLOEXEC) }.into())
        .map(drop)
        .map_err(|e| Error::new("replace a descriptor", e))
}

/// Puts /dev/null in the place of standard input: the far end of a pipe sees the hang-up once all its duplicates are
/// closed.
pub fn close_stdin() -> Result<()> {
    let fail = |e| Error::new("close standard input", e);
    let null = File::open("/dev/null").map_err(fail)?;
    // SAFETY: numbers only; std reads standard input by its number and keeps nothing that depends on the file.
    check(unsafe { libc::dup2(null.as_fd().as_raw_fd(), libc::STDIN_FILENO) }.into())
        .map_err(fail)
        .map(drop)
}

/// Closes all descriptors from this number on; for a process that has just been started, and has opened none itself.
pub fn close_all_from(first: u32) -> Result<()> {
    // SAFETY: numbers that nobody in this process owns.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })
        .map(drop)
        .map_err(|e| Error::new("close descriptors that were left open", e))
}
