//! signalfd(2): a reader reads its own signals.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{OpenFile, Signalfd};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for Signalfd {
    fn open(&self, open: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        with_status(floe_sys::signalfd(self.mask)?, open)
    }
}
