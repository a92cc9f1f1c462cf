//! signalfd(2): whoever reads it reads its own signals.

use floe_sys::Result;
use std::os::fd::OwnedFd;

pub(super) fn signalfd(mask: u64) -> Result<OwnedFd> {
    floe_sys::signalfd(mask)
}
