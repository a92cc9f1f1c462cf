//! timerfd_create(2), by fs/timerfd.c's show_fdinfo.

use super::fdinfo::{decimal, field, octal};
use floe_records::Timerfd;
use std::time::{SystemTime, UNIX_EPOCH};

const WALL_CLOCKS: [i32; 2] = [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_ALARM];

/// To be called as soon as `info` has been read: a date is what was left then, from now.
pub(super) fn timerfd(info: &str) -> Option<Timerfd> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64;
    let pair = |name| {
        let inside = field(info, name).trim_matches(['(', ')']);
        let (seconds, nanos) = inside.split_once(", ")?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?)
    };
    let clock = field(info, "clockid:").parse().ok()?;
    let settime_flags = octal(info, "settime flags:");
    let left_ns = pair("it_value:")?;
    let absolute = settime_flags & libc::TFD_TIMER_ABSTIME as u32 != 0;
    let date = absolute && WALL_CLOCKS.contains(&clock) && left_ns != 0;
    Some(Timerfd {
        clock,
        settime_flags,
        ticks: decimal(info, "ticks:"),
        left_ns,
        date_ns: date.then_some(now + left_ns),
        interval_ns: pair("it_interval:")?,
    })
}
