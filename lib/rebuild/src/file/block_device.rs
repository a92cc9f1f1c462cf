//! Block devices; only one with the same number is the same. Nothing is written to it.

use crate::{factory::Factory, named::open_device, resource::ForFile};
use floe_records::{BlockDevice, OpenFile};
use floe_sys::Result;
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for BlockDevice {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        open_device(&make.stands, open, (&self.name, self.rdev), SFlag::S_IFBLK)
    }
}
