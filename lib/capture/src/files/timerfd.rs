//! timerfd_create(2), by fs/timerfd.c's show_fdinfo.

use super::fdinfo::{decimal, field, octal};
use floe_records::Timerfd;

pub(super) fn timerfd(info: &str) -> Option<Timerfd> {
    let pair = |name| {
        let inside = field(info, name).trim_matches(['(', ')']);
        let (seconds, nanos) = inside.split_once(", ")?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?)
    };
    Some(Timerfd {
        clock: field(info, "clockid:").parse().ok()?,
        settime_flags: octal(info, "settime flags:"),
        ticks: decimal(info, "ticks:"),
        left_ns: pair("it_value:")?,
        interval_ns: pair("it_interval:")?,
    })
}
