//! Regular files with a name.

use crate::{
    named::{flags, seek},
    resource::ForFile,
    stand::Stands,
};
use floe_records::{OpenFile, Regular};
use floe_sys::Result;
use nix::{fcntl::OFlag, sys::stat::SFlag};
use std::os::fd::OwnedFd;

impl ForFile for Regular {
    fn open_alone(&self, open: &OpenFile, stands: &Stands<'_>) -> Option<Result<OwnedFd>> {
        Some(by_name(self, open, stands))
    }
}

fn by_name(file: &Regular, open: &OpenFile, stands: &Stands<'_>) -> Result<OwnedFd> {
    let flags = flags(open);
    let found = stands.found(open.pid, &file.name, SFlag::S_IFREG)?;
    stands.same.inode(&file.name, &found)?;
    // What is only a path shows no content.
    if !flags.contains(OFlag::O_PATH) {
        let again = || stands.open(open.pid, &file.name, &found, OFlag::O_RDONLY);
        stands.same.content(file, open, &found, again)?;
    }
    let fd = stands.open(open.pid, &file.name, &found, flags)?;
    seek(&fd, open)?;
    Ok(fd)
}
