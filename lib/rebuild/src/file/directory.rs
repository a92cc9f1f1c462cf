//! Directories with a name.

use crate::{
    factory::Factory,
    named::{open_as, seek},
    resource::ForFile,
};
use floe_records::{Directory, OpenFile};
use floe_sys::Result;
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for Directory {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let fd = open_as(make, open, &self.name, SFlag::S_IFDIR)?;
        seek(&fd, open)?;
        Ok(fd)
    }
}
