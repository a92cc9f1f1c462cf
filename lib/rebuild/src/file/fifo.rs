//! Named pipes, opened for both first: one end alone would wait for the other.

use crate::{
    factory::{Factory, reopen},
    named::flags,
    object::pipe_data::fill,
    resource::ForFile,
};
use floe_records::{Fifo, OpenFile};
use floe_sys::Result;
use nix::{fcntl::OFlag, sys::stat::SFlag};
use std::os::fd::OwnedFd;

impl ForFile for Fifo {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let pipe = self.name.object();
        let both = match make.fifos.remove(&pipe) {
            Some(both) => both,
            None => {
                let found = make.stands.found(open.pid, &self.name, SFlag::S_IFIFO)?;
                make.stands.same.inode(&self.name, &found)?;
                let both = make.stands.open(open.pid, &self.name, &found, OFlag::O_RDWR)?;
                fill(make.tree, pipe, &both)?;
                both
            }
        };
        let fd = match flags(open).contains(OFlag::O_NOFOLLOW) && !self.name.deleted {
            // The flag stays with the description, and our way to open one again is a link.
            true => {
                let found = make.stands.found(open.pid, &self.name, SFlag::S_IFIFO)?;
                make.stands.open(open.pid, &self.name, &found, flags(open))?
            }
            false => reopen(&both, flags(open))?,
        };
        make.fifos.insert(pipe, both);
        Ok(fd)
    }
}
