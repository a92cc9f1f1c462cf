//! The end of a pipeline: a writer that has written End stays until its reader has finished its work.
//!
//! A floe reader holds a shared flock(2) on its end of the pipe and closes the pipe when its work is done. Locks belong
//! to the inode, so a writer that is refused the exclusive lock knows that a floe tool reads, and waits for the hang-up
//! (POLLHUP). A foreign reader (`cat`, `gzip`) holds no lock and waits for end of file, which only comes when the
//! writer closes the pipe: it is not waited for.
//!
//! The same lock tells that a reader has started. The head of a pipe stops its target only when all tools behind it are
//! ready, so that the time they need to start does not add to the pause.

use crate::ends::{is_pipe, kind};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{Shutdown, shutdown},
        stat::SFlag,
        time::TimeSpec,
    },
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

/// How long a floe tool may take to start. A reader that takes longer is treated as a foreign one.
const START: Duration = Duration::from_millis(30);
/// Interval at which a writer looks for the lock of its reader.
const LOOK: Duration = Duration::from_micros(200);
/// Interval at which a writer looks whether its pipe is empty: grows from the first to the second.
const DRAIN: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(20));

/// Waits until the reader of `out` has closed it, or is one that need not be waited for.
///
/// # Errors
/// Those of ioctl(2), poll(2), flock(2) and shutdown(2).
pub fn wait(out: BorrowedFd<'_>) -> io::Result<()> {
    match kind(out) {
        Some(SFlag::S_IFIFO) => pipe(out),
        Some(SFlag::S_IFSOCK) => socket(out),
        _ => Ok(()),
    }
}

fn pipe(out: BorrowedFd<'_>) -> io::Result<()> {
    // No event reports that a pipe is empty, so look again at growing intervals.
    let mut pause = DRAIN.0;
    while floe_sys::pipe_queued(out)? > 0 {
        if hung_up(out, PollFlags::empty(), Some(pause))? {
            return Ok(());
        }
        pause = (pause * 2).min(DRAIN.1);
    }
    if read_by_floe(out)? {
        while !hung_up(out, PollFlags::empty(), None)? {}
    }
    Ok(())
}

/// Waits until a floe tool reads `out`, at most 30 ms: nothing tells a tool that is starting from a foreign reader.
///
/// # Errors
/// Those of flock(2) and poll(2).
pub fn wait_for_reader(out: BorrowedFd<'_>) -> io::Result<()> {
    is_read_within(out, START).map(drop)
}

/// Whether a floe tool reads `out`, or begins to within this time.
pub fn is_read_within(out: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let begin = Instant::now();
    while is_pipe(out) && !read_by_floe(out)? {
        if begin.elapsed() >= limit || hung_up(out, PollFlags::empty(), Some(LOOK))? {
            return Ok(false);
        }
    }
    Ok(is_pipe(out))
}

/// Whether a floe tool reads this pipe, by now.
pub fn read_by_floe(out: BorrowedFd<'_>) -> io::Result<bool> {
    match floe_sys::flock(out, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => floe_sys::flock(out, libc::LOCK_UN).map(|()| false),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(e) => Err(e),
    }
}

fn socket(out: BorrowedFd<'_>) -> io::Result<()> {
    match shutdown(out.as_raw_fd(), Shutdown::Write) {
        Err(Errno::ENOTCONN) => return Ok(()),
        other => other?,
    }
    while !hung_up(out, PollFlags::from_bits_retain(libc::POLLRDHUP), None)? {}
    Ok(())
}

fn hung_up(out: BorrowedFd<'_>, events: PollFlags, pause: Option<Duration>) -> io::Result<bool> {
    match ppoll(&mut [PollFd::new(out, events)], pause.map(TimeSpec::from_duration), None) {
        Ok(n) => Ok(n > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whether a tool has failed because the reader of what it writes went away.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write, pipe},
        os::{fd::AsFd, unix::net::UnixStream},
        thread,
        time::{Duration, Instant},
    };

    #[test]
    fn a_foreign_reader_is_not_waited_for() {
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let far = thread::spawn(move || {
            let mut text = String::new();
            (&reader).read_to_string(&mut text).unwrap();
            text
        });
        wait(writer.as_fd()).unwrap();
        drop(writer);
        assert_eq!(far.join().unwrap(), "x");
    }

    #[test]
    fn a_floe_reader_is_waited_for() {
        let (mut reader, mut writer) = pipe().unwrap();
        floe_sys::flock_shared(reader.as_fd()).unwrap();
        writer.write_all(b"x").unwrap();
        let start = Instant::now();
        let far = thread::spawn(move || {
            reader.read_exact(&mut [0]).unwrap();
            thread::sleep(Duration::from_millis(50));
        });
        wait(writer.as_fd()).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(50));
        far.join().unwrap();
    }

    #[test]
    fn a_reader_may_start_late_or_never() {
        let (reader, writer) = pipe().unwrap();
        let start = Instant::now();
        wait_for_reader(writer.as_fd()).unwrap();
        assert!(start.elapsed() >= START, "no reader had taken the lock");
        let far = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            floe_sys::flock_shared(reader.as_fd()).unwrap();
            reader
        });
        wait_for_reader(writer.as_fd()).unwrap();
        drop(far.join().unwrap());
        // The other end is closed: no reader can come.
        wait_for_reader(writer.as_fd()).unwrap();
    }

    #[test]
    fn a_socket_is_waited_for() {
        let (near, far) = UnixStream::pair().unwrap();
        let far = thread::spawn(move || (&far).read(&mut [0]).unwrap());
        wait(near.as_fd()).unwrap();
        assert_eq!(far.join().unwrap(), 0);
    }
}
