//! timerfd_create(2). What was left is left again; only a date of the wall clock stays that date.

use floe_records::Timerfd;
use floe_sys::{Result, timerfd_set, timerfd_set_ticks};
use std::os::fd::{AsFd, OwnedFd};

pub(super) fn timerfd(timer: &Timerfd) -> Result<OwnedFd> {
    let fd = floe_sys::timerfd(timer.clock)?;
    if timer.left_ns != 0 {
        let (flags, value) = match timer.date_ns {
            Some(date) => (timer.settime_flags as i32, date),
            None => (0, timer.left_ns),
        };
        timerfd_set(fd.as_fd(), flags, value, timer.interval_ns)?;
    }
    if timer.ticks != 0 {
        timerfd_set_ticks(fd.as_fd(), timer.ticks)?;
    }
    Ok(fd)
}
