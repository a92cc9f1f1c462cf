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
    let mut rest = queue.bytes.as_slice();
    for len in &queue.messages {
        let short = || Error::because("fill a socket", "the record is damaged");
        let (message, behind) = rest.split_at_checked(*len as usize).ok_or_else(short)?;
        rest = behind;
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent =
            send(from.as_raw_fd(), message, flags).map_err(|e| Error::new("fill a socket", e))?;
        if sent != message.len() {
            return Err(Error::because("fill a socket", "it has no room"));
        }
    }
    Ok(())
}
