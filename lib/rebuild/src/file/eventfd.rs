//! eventfd(2).

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{Eventfd, OpenFile};
use floe_sys::{Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::OwnedFd;

impl ForFile for Eventfd {
    fn open(&self, open: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let fail = |e| Error::new("make an eventfd", e);
        let mode = if self.semaphore { EfdFlags::EFD_SEMAPHORE } else { EfdFlags::empty() };
        let fd = EventFd::from_value_and_flags(0, mode | EfdFlags::EFD_CLOEXEC).map_err(fail)?;
        if self.count > 0 {
            fd.write(self.count).map_err(fail)?;
        }
        with_status(fd.into(), open)
    }
}
