//! timerfd_create(2). What was left is left again; only a date of the wall clock stays that date.

use crate::{factory::with_status, resource::ForFile, stand::Stands};
use floe_records::{OpenFile, Timerfd};
use floe_sys::{Result, timerfd_set, timerfd_set_ticks};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for Timerfd {
    fn open_alone(&self, open: &OpenFile, _: &Stands<'_>) -> Option<Result<OwnedFd>> {
        Some(made(self, open))
    }
}

fn made(it: &Timerfd, open: &OpenFile) -> Result<OwnedFd> {
    let fd = floe_sys::timerfd(it.clock)?;
    if it.left_ns != 0 {
        let (flags, value) = match it.date_ns {
            Some(date) => (it.settime_flags as i32, date),
            None => (0, it.left_ns),
        };
        timerfd_set(fd.as_fd(), flags, value, it.interval_ns)?;
    }
    if it.ticks != 0 {
        timerfd_set_ticks(fd.as_fd(), it.ticks)?;
    }
    with_status(fd, open)
}
