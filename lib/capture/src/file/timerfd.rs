//! timerfd_create(2), by fs/timerfd.c's show_fdinfo.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_proc::Fdinfo;
use floe_records::{FileId, Timerfd};
use floe_sys::timerfd_count;
use std::time::{SystemTime, UNIX_EPOCH};

const WALL_CLOCKS: [i32; 2] = [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_ALARM];

impl OfFile for Timerfd {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.is_anonymous("[timerfd]")
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        // One that is not armed stays as it is while the process stands still.
        let is_armed = |info: &Fdinfo| {
            nanoseconds(info, "it_value") != Some(0) || nanoseconds(info, "it_interval") != Some(0)
        };
        let timer = if seen.context.taking && is_armed(seen.info) {
            timerfd_count(seen.duplicate()?)?;
            timerfd(file, &seen.info_now()?, seen.context.stopped_ns)
        } else {
            timerfd(file, seen.info, None)
        };
        timer.ok_or_else(|| Problem::new("file.timerfd", "it has an unknown form"))
    }
}

/// A line with seconds and nanoseconds.
fn nanoseconds(info: &Fdinfo, name: &str) -> Option<u64> {
    let inside = info.get(name).ok()?.trim_matches(['(', ')']);
    let (seconds, nanos) = inside.split_once(", ")?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?)
}

/// To be called as soon as `info` has been read: a date is what was left then, from now.
fn timerfd(file: FileId, info: &Fdinfo, stopped_ns: Option<u64>) -> Option<Timerfd> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64;
    let clock = info.decimal("clockid").ok()?;
    let settime_flags = u32::try_from(info.octal("settime flags").ok()?).ok()?;
    let (ticks, interval_ns): (u64, u64) =
        (info.decimal("ticks").ok()?, nanoseconds(info, "it_interval")?);
    let mut left_ns = nanoseconds(info, "it_value")?;
    if left_ns == 0 && ticks != 0 {
        // It has expired since it was last looked at: the next time is an interval away (none for one that ticks once).
        left_ns = interval_ns;
    }
    let absolute = settime_flags & libc::TFD_TIMER_ABSTIME as u32 != 0;
    let date = absolute && WALL_CLOCKS.contains(&clock) && left_ns != 0;
    let date_ns = date.then_some(now + left_ns);
    // It goes on from when all stood still, unless it has expired since.
    let then = left_ns + stopped_ns.map_or(0, |stopped| now.saturating_sub(stopped));
    if left_ns != 0 && (interval_ns == 0 || then <= interval_ns) {
        left_ns = then;
    }
    Some(Timerfd { file, clock, settime_flags, ticks, left_ns, date_ns, interval_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_just_expired_ticks_on() {
        let info = |left: &str, interval: &str| {
            let text = format!(
                "pos:\t0\nflags:\t02\nmnt_id:\t1\nino:\t2\nclockid: 1\nticks: 3\nsettime flags: 00\nit_value: ({left})\nit_interval: ({interval})\n"
            );
            let info = Fdinfo::parse(text.into_bytes()).unwrap();
            let timer = timerfd(FileId(0), &info, None).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
            // A second ago everything stood still.
            let held = timerfd(FileId(0), &info, Some(now - 1_000_000_000)).unwrap();
            let since = held.left_ns - timer.left_ns;
            let once = interval == "0, 0" && timer.left_ns != 0;
            assert_eq!(once, (1_000_000_000..2_000_000_000).contains(&since), "{left}: {since}");
            (timer.ticks, timer.left_ns, timer.interval_ns)
        };
        assert_eq!(info("5, 500", "0, 0"), (3, 5_000_000_500, 0));
        assert_eq!(info("0, 500", "0, 20000000"), (3, 500, 20_000_000));
        assert_eq!(info("0, 0", "0, 20000000"), (3, 20_000_000, 20_000_000));
        assert_eq!(info("0, 0", "0, 0"), (3, 0, 0));
    }
}
