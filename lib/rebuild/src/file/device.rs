//! Character devices; only one with the same number is the same. The position is that of /dev/mem and its kin, which are large.

use crate::{factory::Factory, named::open_device, resource::ForFile};
use floe_records::{Device, OpenFile};
use floe_sys::Result;
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for Device {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        open_device(make, open, (&self.name, self.rdev), SFlag::S_IFCHR)
    }
}
