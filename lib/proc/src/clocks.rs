//! /proc/PID/timens_offsets (time_namespaces(7)).

use crate::{
    path, unable,
    words::{decimal, lines, unknown, words},
};
use floe_sys::Result;
use std::{fs, io, io::ErrorKind};

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// How far the clocks of a time namespace are ahead of those of the machine, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockOffsets {
    /// CLOCK_MONOTONIC.
    pub monotonic_ns: i128,
    /// CLOCK_BOOTTIME.
    pub boottime_ns: i128,
}

impl ClockOffsets {
    /// Of the namespace that children of a process come into, which is its own where it has not asked for another. None at all
    /// where the kernel has no time namespaces.
    pub fn of(pid: u32) -> Result<Self> {
        const FILE: &str = "timens_offsets";
        match fs::read(path(pid, FILE)) {
            Ok(text) => Self::parse(&text).map_err(|e| unable(pid, FILE, e)),
            Err(e) if e.kind() == ErrorKind::NotFound && path(pid, "stat").exists() => {
                Ok(Self::default())
            }
            Err(e) => Err(unable(pid, FILE, e)),
        }
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        let mut found = [None, None];
        for line in lines(text) {
            let mut words = words(line);
            let mut next = || words.next().ok_or_else(|| unknown("a line"));
            let (clock, seconds, nanos) = (next()?, next()?, next()?);
            let seconds: i64 = decimal(seconds, "an offset")?;
            let nanos: u32 = decimal(nanos, "an offset")?;
            let at = match clock {
                b"monotonic" => 0,
                b"boottime" => 1,
                _ => return Err(unknown("a clock")),
            };
            found[at] = Some(i128::from(seconds) * SECOND + i128::from(nanos));
        }
        let [monotonic, boottime] = found.map(|offset| offset.ok_or_else(|| unknown("a clock")));
        Ok(Self { monotonic_ns: monotonic?, boottime_ns: boottime? })
    }

    /// As the kernel takes them.
    pub fn to_text(self) -> String {
        let line = |name: &str, ns: i128| {
            format!("{name} {} {}\n", ns.div_euclid(SECOND), ns.rem_euclid(SECOND))
        };
        line("monotonic", self.monotonic_ns) + &line("boottime", self.boottime_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written() {
        let text = b"monotonic           0         0\nboottime           -1 999999999\n";
        let offsets = ClockOffsets::parse(text).unwrap();
        assert_eq!(offsets, ClockOffsets { monotonic_ns: 0, boottime_ns: -1 });
        assert_eq!(offsets.to_text(), "monotonic 0 0\nboottime -1 999999999\n");
        assert_eq!(ClockOffsets::parse(offsets.to_text().as_bytes()).unwrap(), offsets);
    }

    #[test]
    fn what_is_missing_or_unknown_is_an_error() {
        for text in ["", "monotonic 0 0\n", "monotonic 0\nboottime 0 0\n", "tai 0 0\n"] {
            assert!(ClockOffsets::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn our_own_can_be_read() {
        ClockOffsets::of(std::process::id()).unwrap();
    }
}
