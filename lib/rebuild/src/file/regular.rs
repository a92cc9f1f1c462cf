//! Regular files with a name.

use crate::{
    factory::Factory,
    named::{flags, seek},
    resource::ForFile,
};
use floe_records::{OpenFile, Regular};
use floe_sys::Result;
use nix::{fcntl::OFlag, sys::stat::SFlag};
use std::os::fd::OwnedFd;

impl ForFile for Regular {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (stands, flags) = (&make.stands, flags(open));
        let found = stands.found(open.pid, &self.name, SFlag::S_IFREG)?;
        stands.same.inode(&self.name, &found)?;
        // What is only a path shows no content.
        if !flags.contains(OFlag::O_PATH) {
            let again = || stands.open(open.pid, &self.name, &found, OFlag::O_RDONLY);
            stands.same.content(self, open, &found, again)?;
        }
        let fd = stands.open(open.pid, &self.name, &found, flags)?;
        seek(&fd, open)?;
        Ok(fd)
    }
}
