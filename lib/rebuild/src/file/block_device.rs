//! Block devices; only one with the same number is the same. Nothing is written to it.

use crate::{
    factory::Factory,
    named::{flags, seek},
    resource::ForFile,
};
use floe_records::{BlockDevice, OpenFile};
use floe_sys::{Error, Result};
use nix::sys::stat::SFlag;
use std::os::fd::OwnedFd;

impl ForFile for BlockDevice {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let path = &self.name.path;
        let found = make.stands.found(open.pid, &self.name, SFlag::S_IFBLK)?;
        let now = found.stat.st_rdev;
        if now != self.rdev {
            let what = format!("it is device {now:#x} now and was {:#x}", self.rdev);
            return Err(Error::because(format!("open {path}"), what));
        }
        let fd = make.stands.open(open.pid, &self.name, &found, flags(open))?;
        seek(&fd, open)?;
        Ok(fd)
    }
}
