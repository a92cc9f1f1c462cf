//! Messages of UNIX sockets with what they carry: descriptors and credentials (unix(7), cmsg(3)).

use crate::{Error, Result, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Words of eight bytes for everything that the kernel may hand over beside the bytes of a message: 253 descriptors, credentials, a
/// security label, times.
const CONTROL: usize = 1024;
/// SCM_PIDFD of include/linux/socket.h: a handle of the sender.
const SCM_PIDFD: i32 = 4;

/// The next message in the queue of a socket.
#[derive(Debug)]
pub struct Peeked {
    /// Length of the message, bytes; it may be longer than the buffer.
    pub len: usize,
    /// Duplicates of the descriptors that it carries; they name the same open file descriptions.
    pub fds: Vec<OwnedFd>,
    /// There were more of them than this process may open.
    pub truncated: bool,
    /// Process, user and group of the sender, where the socket has SO_PASSCRED set.
    pub credentials: Option<(u32, u32, u32)>,
    /// Address of the UNIX socket that sent it, behind `sun_family`; empty for none.
    pub sender: Vec<u8>,
}

/// recvmsg(2) with MSG_PEEK, MSG_TRUNC and MSG_DONTWAIT; `None` when nothing is queued. `carried`: what the message carries is
/// wanted, too. The queue keeps all of it.
pub fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8], carried: bool) -> Result<Option<Peeked>> {
    let mut room = [0u64; CONTROL];
    let room = if carried { &mut room[..] } else { &mut [] };
    let Some(seen) = peek_whole(fd, buffer, room)? else { return Ok(None) };
    let truncated = carried && seen.flags & libc::MSG_CTRUNC != 0;
    let sender = seen.name.get(2..).unwrap_or_default().to_vec();
    let (fds, credentials) = carried_by(&seen.control);
    Ok(Some(Peeked { len: seen.len, fds, truncated, credentials, sender }))
}

/// What comes with a message: level, type and data of each control message.
pub(crate) type Control = Vec<(i32, i32, Vec<u8>)>;

/// What recvmsg(2) tells of a message, besides its bytes.
pub(crate) struct Seen {
    pub len: usize,
    /// MSG_CTRUNC and others.
    pub flags: i32,
    pub name: Vec<u8>,
    pub control: Control,
}

/// Looks at the next message in a queue, with as much of what comes with it as there is `room` for.
pub(crate) fn peek_whole(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    room: &mut [u64],
) -> Result<Option<Seen>> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is valid.
    let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
    (head.msg_iov, head.msg_iovlen) = (&mut iov, 1);
    let mut name = [0u8; size_of::<libc::sockaddr_storage>()];
    (head.msg_name, head.msg_namelen) = (name.as_mut_ptr().cast(), name.len() as u32);
    if !room.is_empty() {
        (head.msg_control, head.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(room));
    }
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the kernel writes at most `iov_len` bytes to the exclusively borrowed `buffer` and at most
    // `msg_controllen` to `room` and `msg_namelen` to `name`.
    match check(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut head, flags) } as i64) {
        Ok(len) => {
            let named = name.len().min(head.msg_namelen as usize);
            let control = if room.is_empty() { Control::new() } else { received(&head) };
            let name = name[..named].to_vec();
            Ok(Some(Seen { len: len as usize, flags: head.msg_flags, name, control }))
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(Error::new("look into the queue of a socket", e)),
    }
}

/// The control messages that recvmsg(2) has just written.
fn received(head: &libc::msghdr) -> Control {
    let mut all = Control::new();
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

/// Descriptors and credentials among control messages that recvmsg(2) has just given, whose descriptors nobody has taken yet.
fn carried_by(control: &Control) -> (Vec<OwnedFd>, Option<(u32, u32, u32)>) {
    let (mut fds, mut credentials) = (Vec::new(), None);
    for (level, kind, data) in control {
        let words: Vec<u32> = data
            .chunks_exact(4)
            .map(|word| word.try_into().map_or(0, u32::from_ne_bytes))
            .collect();
        match (*level, *kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
                let own = |word: &u32| unsafe { OwnedFd::from_raw_fd(*word as RawFd) };
                fds.extend(words.iter().map(own));
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                // Without a sender it is process 0.
                if let [pid, uid, gid] = words[..] {
                    credentials = (pid != 0).then_some((pid, uid, gid));
                }
            }
            (libc::SOL_SOCKET, SCM_PIDFD) => {
                if let Some(word) = words.first().filter(|word| (**word as i32) >= 0) {
                    // SAFETY: as above; it is not wanted, and closed.
                    drop(unsafe { OwnedFd::from_raw_fd(*word as RawFd) });
                }
            }
            _ => {}
        }
    }
    (fds, credentials)
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Descriptors that it carries, at most 253.
    pub fds: &'a [BorrowedFd<'a>],
    /// Process, user and group that the receiver is told of, if it asks.
    pub credentials: Option<(u32, u32, u32)>,
    /// Where it goes, as [`socket_name`](crate::socket_name) gives it; `None` for the peer.
    pub to: Option<&'a [u8]>,
}

/// sendmsg(2) of a whole message, without waiting.
///
/// # Errors
/// EAGAIN where the receiver has no room for it, EPERM where it is connected to another socket, or the credentials are those of
/// somebody else and nobody has the right to that (CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID), ESRCH where no process has that id.
pub fn send_message(fd: BorrowedFd<'_>, message: Message<'_>) -> Result<()> {
    let bytes = message.bytes;
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero msghdr is valid.
    let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
    (head.msg_iov, head.msg_iovlen) = (&mut iov, 1);
    if let Some(to) = message.to {
        (head.msg_name, head.msg_namelen) = (to.as_ptr().cast_mut().cast(), to.len() as u32);
    }
    let mut control: Vec<u64> = Vec::new();
    if !message.fds.is_empty() {
        let words = message.fds.iter().map(|fd| fd.as_raw_fd() as u32);
        push(&mut control, libc::SCM_RIGHTS, &words.collect::<Vec<_>>());
    }
    if let Some((pid, uid, gid)) = message.credentials {
        push(&mut control, libc::SCM_CREDENTIALS, &[pid, uid, gid]);
    }
    if !control.is_empty() {
        head.msg_control = control.as_mut_ptr().cast();
        head.msg_controllen = size_of_val(&control[..]);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let fail = |e| Error::new("send a message", e);
    // SAFETY: the kernel reads the lengths that are given of bytes, address and control messages, and writes nothing.
    let sent =
        check(unsafe { libc::sendmsg(fd.as_raw_fd(), &head, flags) } as i64).map_err(fail)?;
    match sent as usize == bytes.len() {
        true => Ok(()),
        false => Err(Error::because("send a message", "the receiver has no room for it")),
    }
}

/// Adds a control message of words of four bytes: its length with the head, level and type, the words, and what fills the last eight
/// bytes.
fn push(control: &mut Vec<u64>, kind: i32, words: &[u32]) {
    let (head, data) = (2 * size_of::<u64>(), size_of_val(words));
    control.push((head + data) as u64);
    let pair = |low: u32, high: u32| {
        let [a, b, c, d] = low.to_ne_bytes();
        let [e, f, g, h] = high.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    };
    control.push(pair(libc::SOL_SOCKET as u32, kind as u32));
    control.extend(words.chunks(2).map(|two| pair(two[0], two.get(1).copied().unwrap_or(0))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kcmp_file, set_socket_option};
    use std::{
        cmp::Ordering,
        os::{fd::AsFd, unix::net::UnixDatagram},
    };

    #[test]
    fn what_is_sent_is_shown_and_stays() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let on = 1i32.to_ne_bytes();
        set_socket_option(far.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, &on).unwrap();
        let credentials = Some((std::process::id(), 0, 0));
        // SAFETY: no arguments.
        let root = unsafe { libc::geteuid() } == 0;
        let fds = [near.as_fd(), far.as_fd(), near.as_fd()];
        let credentials = credentials.filter(|_| root);
        let message = Message { bytes: b"bytes", fds: &fds, credentials, to: None };
        send_message(near.as_fd(), message).unwrap();
        let pid = std::process::id() as i32;
        for _ in 0..2 {
            let mut buffer = [0; 9];
            let seen = peek(far.as_fd(), &mut buffer, true).unwrap().unwrap();
            assert_eq!((seen.len, seen.fds.len(), seen.truncated), (5, 3, false));
            assert!(!root || seen.credentials == credentials);
            for (ours, theirs) in fds.iter().zip(&seen.fds) {
                let same = kcmp_file(pid, ours.as_raw_fd(), pid, theirs.as_raw_fd());
                assert_eq!(same.unwrap(), Ordering::Equal);
            }
            let bare = peek(far.as_fd(), &mut buffer, false).unwrap().unwrap();
            assert_eq!((bare.len, bare.fds.len()), (5, 0));
        }
    }
}
