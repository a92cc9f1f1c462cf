//! eventfd(2).

use crate::{factory::with_status, resource::ForFile, stand::Stands};
use floe_records::{Eventfd, OpenFile};
use floe_sys::{Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::OwnedFd;

impl ForFile for Eventfd {
    fn open_alone(&self, open: &OpenFile, _: &Stands<'_>) -> Option<Result<OwnedFd>> {
        Some(made(self, open))
    }
}

fn made(it: &Eventfd, open: &OpenFile) -> Result<OwnedFd> {
    let fail = |e| Error::new("make an eventfd", e);
    let mode = if it.semaphore { EfdFlags::EFD_SEMAPHORE } else { EfdFlags::empty() };
    let fd = EventFd::from_value_and_flags(0, mode | EfdFlags::EFD_CLOEXEC).map_err(fail)?;
    if it.count > 0 {
        fd.write(it.count).map_err(fail)?;
    }
    with_status(fd.into(), open)
}
