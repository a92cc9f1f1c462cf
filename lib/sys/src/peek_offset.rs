//! Reading messages of a socket by a peek offset (SO_PEEK_OFF of socket(7)), which is put back also if we are killed.

use crate::{Error, Result, check, set_socket_option, socket_option};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// The peek offset of a socket, negative where peeking does not move one.
pub fn peek_offset(fd: BorrowedFd<'_>) -> Result<i32> {
    let value = socket_option(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, 4)?;
    let value = value.try_into().map_err(|_| {
        Error::because("read the peek offset of a socket", "it has an unknown form")
    })?;
    Ok(i32::from_ne_bytes(value))
}

/// Sockets whose peek offsets may be moved until this is dropped.
///
/// A child, which has the sockets too, waits for the end of a pipe. That comes when this is dropped, or when we die, by
/// whatever signal; then it puts the offsets back.
#[derive(Debug)]
pub struct PeekOffsets {
    pid: i32,
    held: Option<OwnedFd>,
}

impl PeekOffsets {
    /// Remembers the offsets of these sockets and sets them to the first byte.
    pub fn rewind(fds: &[BorrowedFd<'_>]) -> Result<Self> {
        let fail = |e: io::Error| Error::new("start a process that puts peek offsets back", e);
        let offset = |fd: &BorrowedFd<'_>| Ok((fd.as_raw_fd(), peek_offset(*fd)?));
        let old: Vec<(RawFd, i32)> = fds.iter().map(offset).collect::<Result<_>>()?;
        let (end, held) = io::pipe().map_err(fail)?;
        let (end, held) = (OwnedFd::from(end), OwnedFd::from(held));
        let pid = crate::clone::without_signals(|| {
            // SAFETY: the child has a copy of our memory, and calls nothing but the kernel.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                put_back(end.as_raw_fd(), held.as_raw_fd(), &old);
            }
            check(i64::from(pid))
        });
        let this = Self { pid: pid.map_err(fail)? as i32, held: Some(held) };
        for fd in fds {
            set_socket_option(*fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0i32.to_ne_bytes())?;
        }
        Ok(this)
    }
}

impl Drop for PeekOffsets {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// The child. `end` ends when nobody has `held` any more.
fn put_back(end: RawFd, held: RawFd, old: &[(RawFd, i32)]) -> ! {
    let mut byte = 0u8;
    // SAFETY: numbers, a byte of ours to be written to, and offsets of ours to be read, four bytes each.
    unsafe {
        libc::close(held);
        // A signal to our process group must not end both.
        libc::setsid();
        while libc::read(end, std::ptr::from_mut(&mut byte).cast(), 1) == -1
            && *libc::__errno_location() == libc::EINTR
        {}
        for (fd, offset) in old {
            let at = std::ptr::from_ref(offset).cast();
            libc::setsockopt(*fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, at, 4);
        }
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peek;
    use std::os::{fd::AsFd, unix::net::UnixDatagram};

    #[test]
    fn messages_are_read_and_offsets_come_back() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let words: [&[u8]; 2] = [b"one", b"three"];
        assert!(words.iter().all(|word| near.send(word).is_ok()));
        assert_eq!(peek_offset(far.as_fd()).unwrap(), -1);
        for _ in 0..2 {
            let moved = PeekOffsets::rewind(&[far.as_fd(), near.as_fd()]).unwrap();
            let mut buffer = [0; 10];
            let mut next = || peek(far.as_fd(), &mut buffer, false).unwrap().map(|seen| seen.len);
            assert_eq!([next(), next(), next()], [Some(3), Some(5), None]);
            assert_eq!(peek_offset(far.as_fd()).unwrap(), 8);
            // What the death of this process would do as well.
            drop(moved);
            assert_eq!(peek_offset(far.as_fd()).unwrap(), -1);
        }
    }

    #[test]
    fn an_offset_in_use_comes_back() {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.send(b"word").unwrap();
        let two = 2i32.to_ne_bytes();
        set_socket_option(far.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, &two).unwrap();
        drop(PeekOffsets::rewind(&[far.as_fd()]).unwrap());
        assert_eq!(peek_offset(far.as_fd()).unwrap(), 2);
    }
}
