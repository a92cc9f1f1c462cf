//! What was queued in UNIX sockets: it is sent when they are made.

use crate::{factory::Factory, resource::ForObject};
use floe_records::SocketQueue;
use floe_sys::{Error, Result};
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsRawFd, OwnedFd};

impl ForObject for SocketQueue {
    fn make(&self, _: &mut Factory<'_>) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        format!("what is queued in socket {}", self.ino)
    }
}

/// Sends what was queued, through the other end. Nothing reads yet, so it never waits.
pub(crate) fn fill(from: &OwnedFd, queue: &SocketQueue) -> Result<()> {
    messages(queue)?.into_iter().try_for_each(|message| send_on(from, message))
}

/// The messages of a queue, oldest first.
pub(crate) fn messages(queue: &SocketQueue) -> Result<Vec<&[u8]>> {
    let mut rest = queue.bytes.as_slice();
    let mut cut = |len: &u32| {
        let short = || Error::because("fill a socket", "the record is damaged");
        let (message, behind) = rest.split_at_checked(*len as usize).ok_or_else(short)?;
        rest = behind;
        Ok(message)
    };
    queue.messages.iter().map(&mut cut).collect()
}

/// Sends a message to the peer of a socket.
pub(crate) fn send_on(from: &OwnedFd, message: &[u8]) -> Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(from.as_raw_fd(), message, flags) {
        Ok(sent) if sent == message.len() => Ok(()),
        Ok(_) => Err(Error::because("fill a socket", "it has no room")),
        Err(e) => Err(Error::new("fill a socket", e)),
    }
}
