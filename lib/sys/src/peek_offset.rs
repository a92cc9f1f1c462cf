//! Reading messages of a socket by a peek offset (SO_PEEK_OFF of socket(7)) and with all that they can tell, by options that are put
//! back also if we are killed.

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

/// Sockets whose peek offsets may be moved until this is dropped, and which may tell more of their messages.
///
/// A child, which has the sockets too, puts all of that back then, or when we die.
#[derive(Debug)]
pub struct PeekOffsets {
    _watcher: Watcher,
}

/// A setting to be put back: socket, level, name, value.
type Old = (RawFd, i32, i32, i32);

impl PeekOffsets {
    /// Remembers the offsets of these sockets and sets them to the first byte.
    pub fn rewind(fds: &[BorrowedFd<'_>]) -> Result<Self> {
        Self::rewind_telling(fds, &[])
    }

    /// The same, and switches on options (level and name) by which a socket tells more of its messages, where it has them.
    pub fn rewind_telling(fds: &[BorrowedFd<'_>], options: &[(i32, i32)]) -> Result<Self> {
        let mut old: Vec<Old> = Vec::new();
        for fd in fds {
            old.push((fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, peek_offset(*fd)?));
            let value = |(level, name): (i32, i32)| {
                let value: [u8; 4] = socket_option(*fd, level, name, 4).ok()?.try_into().ok()?;
                Some((fd.as_raw_fd(), level, name, i32::from_ne_bytes(value)))
            };
            old.extend(options.iter().copied().filter_map(value).filter(|old| old.3 == 0));
        }
        let put_back = || {
            for (fd, level, name, value) in &old {
                let at = std::ptr::from_ref(value).cast();
                // SAFETY: the kernel reads a value of ours, of four bytes.
                unsafe { libc::setsockopt(*fd, *level, *name, at, 4) };
            }
        };
        let watcher = Watcher::start(|_| leave_group(), put_back)
            .map_err(|e| Error::new("start a process that puts peek offsets back", e))?;
        for fd in fds {
            for (_, level, name, _) in old.iter().filter(|old| old.0 == fd.as_raw_fd()) {
                let value = i32::from(*name != libc::SO_PEEK_OFF || *level != libc::SOL_SOCKET);
                set_socket_option(*fd, *level, *name, &value.to_ne_bytes())?;
            }
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
