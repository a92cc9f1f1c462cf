//! timerfd_create(2). What was left is left again; only a date of the wall clock stays that date.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
};
use floe_records::{OpenFile, Timerfd};
use floe_sys::{Result, timerfd_set, timerfd_set_ticks};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for Timerfd {
    fn open(&self, open: &OpenFile, _: &mut Factory<'_>) -> Result<OwnedFd> {
        let fd = floe_sys::timerfd(self.clock)?;
        if self.left_ns != 0 {
            let (flags, value) = match self.date_ns {
                Some(date) => (self.settime_flags as i32, date),
                None => (0, self.left_ns),
            };
            timerfd_set(fd.as_fd(), flags, value, self.interval_ns)?;
        }
        if self.ticks != 0 {
            timerfd_set_ticks(fd.as_fd(), self.ticks)?;
        }
        with_status(fd, open)
    }
}
