//! signalfd(2): a reader reads its own signals.

use crate::{factory::with_status, resource::ForFile, stand::Stands};
use floe_records::{OpenFile, Signalfd};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for Signalfd {
    fn open_alone(&self, open: &OpenFile, _: &Stands<'_>) -> Option<Result<OwnedFd>> {
        Some(made(self, open))
    }
}

fn made(it: &Signalfd, open: &OpenFile) -> Result<OwnedFd> {
    with_status(floe_sys::signalfd(it.mask)?, open)
}
