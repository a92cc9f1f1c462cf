//! Datagrams in the queue of a socket of the internet, with what comes with them (udp(7), ip(7), cmsg(3)).

use crate::{Error, Result, check};
use std::os::fd::{AsRawFd, BorrowedFd};

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
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is valid.
    let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
    (head.msg_iov, head.msg_iovlen) = (&mut iov, 1);
    let mut name = [0u8; size_of::<libc::sockaddr_storage>()];
    (head.msg_name, head.msg_namelen) = (name.as_mut_ptr().cast(), name.len() as u32);
    let mut control = [0u64; CONTROL];
    (head.msg_control, head.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most `iov_len` bytes to the exclusively borrowed `buffer` and at most
    // `msg_controllen` to `control` and `msg_namelen` to `name`.
    match check(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut head, flags) } as i64) {
        Ok(_) if head.msg_flags & libc::MSG_CTRUNC != 0 => {
            Err(Error::because("look into the queue of a socket", "too much comes with a datagram"))
        }
        Ok(len) => {
            let named = name.len().min(head.msg_namelen as usize);
            let from = name[..named].to_vec();
            Ok(Some(PeekedDatagram { len: len as usize, from, control: received(&head) }))
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(Error::new("look into the queue of a socket", e)),
    }
}

/// The control messages that recvmsg(2) has just written.
fn received(head: &libc::msghdr) -> Vec<(i32, i32, Vec<u8>)> {
    let mut all = Vec::new();
    // SAFETY: the kernel has written whole control messages to the buffer that `head` names.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(head) };
    while !at.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give a header inside of the buffer, with all of its data behind it.
        let (message, data) = unsafe { (*at, libc::CMSG_DATA(at)) };
        // SAFETY: arithmetic only.
        let len = message.cmsg_len - unsafe { libc::CMSG_LEN(0) } as usize;
        // SAFETY: these are the bytes of this control message.
        let data = unsafe { std::slice::from_raw_parts(data, len) }.to_vec();
        all.push((message.cmsg_level, message.cmsg_type, data));
        // SAFETY: as for the first one.
        at = unsafe { libc::CMSG_NXTHDR(head, at) };
    }
    all
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
