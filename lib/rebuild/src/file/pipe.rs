//! Ends of pipes.

use crate::{
    factory::{Factory, reopen, with_status},
    named::flags,
    resource::ForFile,
};
use floe_records::{OpenFile, Pipe};
use floe_sys::{Error, Result};
use nix::{fcntl::OFlag, unistd::pipe2};
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
        let end = if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY { writer } else { reader };
        // Only fcntl(2) puts a pipe into packet mode.
        let fd = reopen(end, flags & !OFlag::O_DIRECT)?;
        if flags.contains(OFlag::O_DIRECT) { with_status(fd, open) } else { Ok(fd) }
    }
}
