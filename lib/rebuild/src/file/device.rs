//! Character devices; only one with the same number is the same.

use crate::{factory::Factory, named::open_as, resource::ForFile};
use floe_records::{Device, OpenFile};
use floe_sys::{Error, Result};
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for Device {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (fd, path) = (open_as(make, open, &self.name, SFlag::S_IFCHR)?, &self.name.path);
        let now = fstat(fd.as_fd()).map_err(|e| Error::new(format!("read {path}"), e))?.st_rdev;
        if now != self.rdev {
            let what = format!("it is device {now:#x} now and was {:#x}", self.rdev);
            return Err(Error::because(format!("open {path}"), what));
        }
        Ok(fd)
    }
}
