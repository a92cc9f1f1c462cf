//! Pipes, with what was queued in them.

use super::{Maker, STATUS, named, reopen};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    collections::btree_map::Entry,
    os::fd::{AsFd, OwnedFd},
};

/// An end of a pipe as a description of its own.
pub(super) fn pipe(make: &mut Maker, file: &OpenFile, pipe: ObjectId) -> Result<OwnedFd> {
    if !make.pipes.contains_key(&pipe) {
        let (reader, writer) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new("make a pipe", e))?;
        fill(make, pipe, &writer)?;
        make.pipes.insert(pipe, (reader, writer));
    }
    let Entry::Occupied(ends) = make.pipes.entry(pipe) else {
        return Err(Error::because("make a pipe", "it is gone"));
    };
    let flags = named::flags(file);
    let writes = flags & OFlag::O_ACCMODE == OFlag::O_WRONLY;
    // Only fcntl(2) puts a pipe into packet mode.
    let fd = reopen(if writes { &ends.get().1 } else { &ends.get().0 }, flags & !OFlag::O_DIRECT)?;
    if flags.contains(OFlag::O_DIRECT) {
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags & STATUS))
            .map_err(|e| Error::new("set the flags of a pipe", e))?;
    }
    Ok(fd)
}

/// Capacity and contents.
pub(super) fn fill(make: &Maker, pipe: ObjectId, writer: &OwnedFd) -> Result<()> {
    let Some((data, bytes)) = make.tree.pipes.get(&pipe) else { return Ok(()) };
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
