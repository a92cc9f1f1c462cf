//! Datagrams in the queue of a socket of the internet, with what comes with them (udp(7), ip(7), cmsg(3)).

use crate::{Error, Result, message::peek_whole};
use std::os::fd::BorrowedFd;

/// Words of eight bytes for what comes with a datagram.
const CONTROL: usize = 512;

/// The next datagram in a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeekedDatagram {
    /// Its length, bytes; it may be longer than the buffer.
    pub len: usize,
    /// Address of its sender, as [`socket_name`](crate::socket_name) gives one.
    pub from: Vec<u8>,
    /// What comes with it: level, type, data.
    pub control: Vec<(i32, i32, Vec<u8>)>,
}

/// recvmsg(2) with MSG_PEEK, MSG_TRUNC and MSG_DONTWAIT; `None` when nothing is queued. An error that waits for the process
/// (SO_ERROR) is taken by it.
pub fn peek_datagram(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<PeekedDatagram>> {
    let Some(seen) = peek_whole(fd, buffer, &mut [0; CONTROL])? else { return Ok(None) };
    if seen.flags & libc::MSG_CTRUNC != 0 {
        let problem = "too much comes with a datagram";
        return Err(Error::because("look into the queue of a socket", problem));
    }
    Ok(Some(PeekedDatagram { len: seen.len, from: seen.name, control: seen.control }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeekOffsets;
    use std::{net::UdpSocket, os::fd::AsFd};

    #[test]
    fn datagrams_tell_where_they_come_from_and_stay() {
        let telling = [(libc::IPPROTO_IP, libc::IP_RECVTTL)];
        let (near, far) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let words: [&[u8]; 3] = [b"", b"one", b"three"];
        let to = far.local_addr().unwrap();
        assert!(words.iter().all(|word| near.send_to(word, to).is_ok()));
        let mut buffer = [0; 9];
        let moved = PeekOffsets::rewind_telling(&[far.as_fd()], &telling).unwrap();
        for word in words {
            let seen = peek_datagram(far.as_fd(), &mut buffer).unwrap().unwrap();
            assert_eq!(&buffer[..seen.len], word);
            assert_eq!(seen.from[2..4], near.local_addr().unwrap().port().to_be_bytes());
            let kinds: Vec<_> =
                seen.control.iter().map(|(level, kind, _)| (*level, *kind)).collect();
            assert_eq!(kinds, [(libc::IPPROTO_IP, libc::IP_TTL)]);
        }
        assert_eq!(peek_datagram(far.as_fd(), &mut buffer).unwrap(), None);
        drop(moved);
        let seen = peek_datagram(far.as_fd(), &mut buffer).unwrap().unwrap();
        assert_eq!((seen.len, seen.control.len()), (0, 0));
    }
}
