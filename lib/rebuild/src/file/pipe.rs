//! Ends of pipes.

use crate::{
    factory::{Factory, STATUS, reopen, with_status},
    named::flags,
    resource::ForFile,
};
use floe_records::{OpenFile, Pipe};
use floe_sys::{Error, Result};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::pipe2,
};
use std::{collections::btree_map::Entry, os::fd::OwnedFd};

impl ForFile for Pipe {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (reader, writer) = match make.pipes.entry(self.pipe) {
            Entry::Occupied(ends) => ends.into_mut(),
            // Nothing was queued in it, and its capacity is not known.
            Entry::Vacant(place) => {
                let ends = pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new("make a pipe", e))?;
                place.insert(ends)
            }
        };
        let flags = flags(open);
        let writes = flags & OFlag::O_ACCMODE == OFlag::O_WRONLY;
        let end = if writes { writer } else { reader };
        // Those that pipe(2) gives have no O_LARGEFILE, which open(2) sets on all others.
        let set = STATUS | OFlag::O_ASYNC;
        let made = open.flags & libc::O_ACCMODE as u32 == open.flags & !set.bits() as u32;
        if made && make.given_ends.insert((self.pipe, writes)) {
            let fd = end.try_clone().map_err(|e| Error::new("give away an end of a pipe", e))?;
            // It may still have the flags that it was filled with.
            fcntl(&fd, FcntlArg::F_SETFL(flags & STATUS))
                .map_err(|e| Error::new("set the flags of a pipe", e))?;
            return Ok(fd);
        }
        // Only fcntl(2) puts a pipe into packet mode.
        let fd = reopen(end, flags & !OFlag::O_DIRECT)?;
        if flags.contains(OFlag::O_DIRECT) { with_status(fd, open) } else { Ok(fd) }
    }
}
