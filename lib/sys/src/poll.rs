//! Waiting for one descriptor.

use crate::check;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    time::Duration,
};

/// ppoll(2): waits until one of `events` (POLLIN, ...) or an error or hang-up is there, which is always waited for;
/// without a `timeout` for ever. Gives what is there, 0 when the time is over or a signal came.
pub fn poll(fd: BorrowedFd<'_>, events: i16, timeout: Option<Duration>) -> io::Result<i16> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let timeout = timeout.map(|time| libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: one live pollfd, a live timeout or none, and no signal mask.
    match check(unsafe { libc::ppoll(&mut poll, 1, timeout, ptr::null()) }.into()) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other.map(|_| poll.revents),
    }
}
