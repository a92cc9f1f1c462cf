//! timerfd_create(2). What was left is left again; only a date of the wall clock stays that date.

use floe_plan::Tree;
use floe_records::Timerfd;
use floe_sys::{Result, timerfd_set, timerfd_set_ticks};
use std::os::fd::{AsFd, OwnedFd};

const WALL_CLOCKS: [i32; 2] = [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_ALARM];

pub(super) fn timerfd(tree: &Tree, timer: &Timerfd) -> Result<OwnedFd> {
    let fd = floe_sys::timerfd(timer.clock)?;
    let flags = timer.settime_flags as i32;
    if timer.left_ns != 0 {
        let date = flags & libc::TFD_TIMER_ABSTIME != 0 && WALL_CLOCKS.contains(&timer.clock);
        let (flags, value) = match &tree.begin {
            Some(begin) if date => (flags, begin.realtime_ns + timer.left_ns),
            _ => (0, timer.left_ns),
        };
        timerfd_set(fd.as_fd(), flags, value, timer.interval_ns)?;
    }
    if timer.ticks != 0 {
        timerfd_set_ticks(fd.as_fd(), timer.ticks)?;
    }
    Ok(fd)
}
