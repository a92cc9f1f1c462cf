//! Reading messages of a socket by a peek offset (SO_PEEK_OFF of socket(7)), which is put back also if we are killed.

use crate::{
    Error, Result, set_socket_option, socket_option,
    watcher::{Watcher, leave_group},
};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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
/// A child, which has the sockets too, puts the offsets back then, or when we die.
#[derive(Debug)]
pub struct PeekOffsets {
    _watcher: Watcher,
}

impl PeekOffsets {
    /// Remembers the offsets of these sockets and sets them to the first byte.
    pub fn rewind(fds: &[BorrowedFd<'_>]) -> Result<Self> {
        let offset = |fd: &BorrowedFd<'_>| Ok((fd.as_raw_fd(), peek_offset(*fd)?));
        let old: Vec<(RawFd, i32)> = fds.iter().map(offset).collect::<Result<_>>()?;
        let put_back = || {
            for (fd, offset) in &old {
                let at = std::ptr::from_ref(offset).cast();
                // SAFETY: the kernel reads an offset of ours, of four bytes.
                unsafe { libc::setsockopt(*fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, at, 4) };
            }
        };
        let watcher = Watcher::start(|_| leave_group(), put_back)
            .map_err(|e| Error::new("start a process that puts peek offsets back", e))?;
        for fd in fds {
            set_socket_option(*fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0i32.to_ne_bytes())?;
        }
        Ok(Self { _watcher: watcher })
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
