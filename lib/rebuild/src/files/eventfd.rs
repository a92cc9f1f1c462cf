//! eventfd(2).

use floe_sys::{Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::OwnedFd;

pub(super) fn eventfd(count: u64, semaphore: bool) -> Result<OwnedFd> {
    let fail = |e| Error::new("make an eventfd", e);
    let mode = if semaphore { EfdFlags::EFD_SEMAPHORE } else { EfdFlags::empty() };
    let fd = EventFd::from_value_and_flags(0, mode | EfdFlags::EFD_CLOEXEC).map_err(fail)?;
    if count > 0 {
        fd.write(count).map_err(fail)?;
    }
    Ok(fd.into())
}
