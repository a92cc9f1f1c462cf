//! How a stage knows that the stages behind it are done.
//!
//! A stage must keep its input open until its reader needs the target no more. A reader of ours takes a shared
//! flock(2) on its standard input; locks belong to the inode, so the writer sees it from the other end of the
//! pipe. After End the writer waits until the pipe is drained, and then, if such a reader lives, until it closes.
//! A foreign reader, which waits for end of file, gets it at once.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::{SFlag, fstat};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

fn kind(fd: BorrowedFd<'_>) -> SFlag {
    fstat(fd).map_or(SFlag::empty(), |stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}

/// Marks a pipe as read by one of our tools, for as long as the description lives.
pub fn mark_reader(fd: BorrowedFd<'_>) {
    if kind(fd) == SFlag::S_IFIFO {
        // Without the mark the writer takes us for a foreign reader and does not wait: the target is then
        // found running at the end, and the stage fails safely.
        let _ = floe_sys::flock(fd, libc::LOCK_SH | libc::LOCK_NB);
    }
}

/// Waits, after End was written to `fd`, until the reader is done with the target.
pub fn wait_for_reader(fd: BorrowedFd<'_>) -> std::io::Result<()> {
    match kind(fd) {
        SFlag::S_IFIFO => wait_pipe(fd),
        SFlag::S_IFSOCK => wait_socket(fd),
        _ => Ok(()),
    }
}

fn wait_pipe(fd: BorrowedFd<'_>) -> std::io::Result<()> {
    let mut pause = 20;
    while !hung_up(fd, PollTimeout::ZERO)? && floe_sys::pipe_queued(fd)? > 0 {
        std::thread::sleep(Duration::from_micros(pause));
        pause = (pause * 2).min(5000);
    }
    match floe_sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => return floe_sys::flock(fd, libc::LOCK_UN),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(e) => return Err(e),
    }
    while !hung_up(fd, PollTimeout::NONE)? {}
    Ok(())
}

fn wait_socket(fd: BorrowedFd<'_>) -> std::io::Result<()> {
    match shutdown(fd.as_raw_fd(), Shutdown::Write) {
        Ok(()) | Err(nix::Error::ENOTCONN) => {}
        Err(e) => return Err(e.into()),
    }
    while !hung_up(fd, PollTimeout::NONE)? {}
    Ok(())
}

fn hung_up(fd: BorrowedFd<'_>, timeout: PollTimeout) -> std::io::Result<bool> {
    let mut watched = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    match poll(&mut watched, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(e) => return Err(e.into()),
    }
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    Ok(watched[0].revents().is_some_and(|events| events.intersects(gone)))
}

/// Checks that nothing stands behind End: whole for a file, what has arrived for a pipe.
pub fn nothing_behind_end(input: &mut std::fs::File, at: u64) -> Result<(), floe_stream::Error> {
    let mut watched = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut watched, PollTimeout::ZERO).map_err(std::io::Error::from)? > 0;
    if ready && input.read(&mut [0])? > 0 {
        return Err(floe_stream::Error::Damaged { at, problem: "bytes behind End".into() });
    }
    Ok(())
}
