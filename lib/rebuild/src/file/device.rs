//! Character devices; only one with the same number is the same. The position is that of /dev/mem and its kin, which are large.

use crate::{named::open_device, resource::ForFile, stand::Stands};
use floe_records::{Device, OpenFile};
use floe_sys::Result;
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for Device {
    fn open_alone(&self, open: &OpenFile, stands: &Stands<'_>) -> Option<Result<OwnedFd>> {
        Some(open_device(stands, open, (&self.name, self.rdev), SFlag::S_IFCHR))
    }
}
