//! Limits from /proc/PID/limits: prlimit(2) wants CAP_SYS_RESOURCE for another user's process.

use crate::proc;
use floe_records::{Limits, Pid};
use floe_sys::Result;
use std::io;

/// Width of the first column of /proc/PID/limits, in front of the numbers.
const NAME_WIDTH: usize = 26;

pub(crate) fn limits(pid: u32) -> Result<Limits> {
    let text = proc::text(pid, "limits")?;
    // Behind the heading the lines come by ascending resource number.
    let limits: Option<Vec<_>> = text.lines().skip(1).map(line).collect();
    match limits {
        Some(limits) if limits.len() == 16 => Ok(Limits { pid: Pid(pid), limits }),
        _ => Err(proc::unable(pid, "limits", io::Error::other("unknown form"))),
    }
}

fn line(line: &str) -> Option<(u64, u64)> {
    let mut words = line.get(NAME_WIDTH..)?.split_ascii_whitespace();
    let mut value = || match words.next()? {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    };
    Some((value()?, value()?))
}
