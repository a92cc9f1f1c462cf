//! Pipes, with what was queued in them.

use super::{Maker, named, reopen};
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
    reopen(if writes { &ends.get().1 } else { &ends.get().0 }, flags)
}

/// Capacity and contents.
pub(super) fn fill(make: &Maker, pipe: ObjectId, writer: &OwnedFd) -> Result<()> {
    let Some((capacity, bytes)) = make.tree.pipes.get(&pipe) else { return Ok(()) };
    if floe_sys::pipe_size(writer.as_fd())? != *capacity as usize {
        floe_sys::set_pipe_size(writer.as_fd(), *capacity as usize)?;
    }
    let fail = |e| Error::new("fill a pipe", e);
    // Never wait for a reader: nobody reads yet.
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(fail)?;
    let done = nix::unistd::write(writer.as_fd(), bytes).map_err(fail)?;
    if done == bytes.len() { Ok(()) } else { Err(Error::because("fill a pipe", "it has no room")) }
}
