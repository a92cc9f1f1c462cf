//! Messages over a sequenced-packet socket, with descriptors.

use crate::{Error, Result, check};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// The most descriptors one message can carry (the kernel's SCM_MAX_FD).
pub const MAX_FDS: usize = 253;

/// Sends eight bytes and descriptors.
pub fn send_fds(socket: BorrowedFd<'_>, word: u64, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let bytes = word.to_ne_bytes();
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, flags, None)
        .map(drop)
        .map_err(|e| Error::new("ring the doorbell", e))
}

/// Receives eight bytes and descriptors; `None` at end-of-file.
pub fn recv_fds(socket: BorrowedFd<'_>) -> Result<Option<(u64, Vec<OwnedFd>)>> {
    let mut bytes = [0; 8];
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut iov = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let fail = |e: nix::Error| Error::new("hear the doorbell", e);
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(nix::Error::EINTR) => {}
            other => break other.map_err(fail)?,
        }
    };
    let mut fds = Vec::new();
    for control in message.cmsgs().map_err(fail)? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made these descriptors for us.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let len = message.bytes;
    Ok((len > 0).then(|| (u64::from_ne_bytes(bytes), fds)))
}

/// Waits until the socket can be read, or the time is over (false).
pub fn wait_readable(fd: BorrowedFd<'_>, milliseconds: i32) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd.
    match check(unsafe { libc::poll(&mut poll, 1, milliseconds) } as i64) {
        Err(e) if e.raw_os_error() == Some(libc::EINTR) => Ok(false),
        other => other.map(|n| n > 0),
    }
}
