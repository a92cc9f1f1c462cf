//! Pipes with what was queued in them.

use crate::{factory::Factory, resource::ForObject};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::{AsFd, OwnedFd};

impl ForObject for PipeData {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        // A named pipe is filled when it is opened.
        if !make.nameless_pipes.contains(&self.id) {
            return Ok(());
        }
        let (reader, writer) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new("make a pipe", e))?;
        fill(make.tree, self.id, &writer)?;
        make.pipes.insert(self.id, (reader, writer));
        Ok(())
    }

    fn describe(&self) -> String {
        format!("pipe {}", self.id.ino)
    }
}

/// Capacity and contents.
pub(crate) fn fill(tree: &Tree, pipe: ObjectId, writer: &OwnedFd) -> Result<()> {
    let Some(data) = tree.get::<PipeData>(pipe) else { return Ok(()) };
    let bytes = &data.bytes;
    if floe_sys::pipe_size(writer.as_fd())? != data.capacity as usize {
        floe_sys::set_pipe_size(writer.as_fd(), data.capacity as usize)?;
    }
    let fail = |e| Error::new("fill a pipe", e);
    let direct = if data.packets.is_empty() { OFlag::empty() } else { OFlag::O_DIRECT };
    // Never wait for a reader: nobody reads yet.
    let flags = OFlag::O_NONBLOCK | direct;
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(flags)).map_err(fail)?;
    let whole = [bytes.len() as u32];
    let lengths = if data.packets.is_empty() { &whole[..] } else { &data.packets };
    let mut left = &bytes[..];
    for &length in lengths {
        let short = || Error::because("fill a pipe", "its packets are not those of its bytes");
        let (packet, rest) = left.split_at_checked(length as usize).ok_or_else(short)?;
        if nix::unistd::write(writer.as_fd(), packet).map_err(fail)? != packet.len() {
            return Err(Error::because("fill a pipe", "it has no room"));
        }
        left = rest;
    }
    Ok(())
}
