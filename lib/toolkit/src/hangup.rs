//! The hang-up law: who has written End stays until its reader has closed the stream.
//!
//! A floe reader holds a shared flock on its end of a pipe. A writer that is not granted the exclusive one
//! thus knows that a floe tool reads, which will close when it is done; any other reader (`cat`, `gzip`)
//! waits for end-of-file, which only comes when the writer goes.
//!
//! The same lock tells that a reader has started: the head of a pipe stops its target only when all behind it are
//! ready, so that nobody's start is a part of the pause.

use crate::ends::kind;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, FlockOperation, flock},
    io::{Errno, ioctl_fionread},
    net::{Shutdown, shutdown},
};
use std::{
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// How long a floe tool may take to start; of any other reader nothing tells.
const START: Duration = Duration::from_millis(30);
/// Nanoseconds from one look for a reader to the next.
const LOOK: i64 = 200_000;

/// Waits until whoever reads behind `out` has hung up, or need not be waited for.
pub fn wait(out: BorrowedFd<'_>) -> io::Result<()> {
    match kind(out) {
        Some(FileType::Fifo) => pipe(out),
        Some(FileType::Socket) => socket(out),
        _ => Ok(()),
    }
}

fn pipe(out: BorrowedFd<'_>) -> io::Result<()> {
    // No event tells that a pipe has been drained: look again, less and less often.
    let mut pause = 100_000;
    while ioctl_fionread(out)? > 0 {
        if hung_up(out, PollFlags::empty(), Some(pause))? {
            return Ok(());
        }
        pause = (pause * 2).min(20_000_000);
    }
    if read_by_floe(out)? {
        while !hung_up(out, PollFlags::empty(), None)? {}
    }
    Ok(())
}

/// Waits until a floe tool reads behind `out`, if there may be one that is just starting.
pub fn wait_for_reader(out: BorrowedFd<'_>) -> io::Result<()> {
    let begin = Instant::now();
    while kind(out) == Some(FileType::Fifo) && begin.elapsed() < START && !read_by_floe(out)? {
        if hung_up(out, PollFlags::empty(), Some(LOOK))? {
            break;
        }
    }
    Ok(())
}

/// Whether a floe tool reads this pipe, by now.
pub fn read_by_floe(out: BorrowedFd<'_>) -> io::Result<bool> {
    match flock(out, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => flock(out, FlockOperation::Unlock).map(|()| false).map_err(Into::into),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

fn socket(out: BorrowedFd<'_>) -> io::Result<()> {
    match shutdown(out, Shutdown::Write) {
        Err(Errno::NOTCONN) => return Ok(()),
        other => other?,
    }
    while !hung_up(out, PollFlags::RDHUP, None)? {}
    Ok(())
}

fn hung_up(out: BorrowedFd<'_>, events: PollFlags, pause: Option<i64>) -> io::Result<bool> {
    let pause = pause.map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
    match poll(&mut [PollFd::from_borrowed_fd(out, events)], pause.as_ref()) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
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
        flock(&reader, FlockOperation::LockShared).unwrap();
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
        assert!(start.elapsed() >= START, "nobody had said that he reads");
        let far = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            flock(&reader, FlockOperation::LockShared).unwrap();
            reader
        });
        wait_for_reader(writer.as_fd()).unwrap();
        drop(far.join().unwrap());
        // Nobody is left who could start.
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
