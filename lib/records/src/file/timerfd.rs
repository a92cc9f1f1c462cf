//! Timers behind descriptors (timerfd_create(2)).

use crate::{FileId, Resource, ensure};
use serde::{Deserialize, Serialize};

/// State of a timerfd.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timerfd {
    /// The open file description.
    pub file: FileId,
    /// Clock id.
    pub clock: i32,
    /// TFD_TIMER_ flags of timerfd_settime(2).
    pub settime_flags: u32,
    /// Expirations not yet read.
    pub ticks: u64,
    /// Nanoseconds left, 0 for unarmed.
    pub left_ns: u64,
    /// Of a timer that waits for a date of the wall clock, the date: nanoseconds since the epoch.
    pub date_ns: Option<u64>,
    /// Nanoseconds, 0 for one-shot.
    pub interval_ns: u64,
}

impl Resource for Timerfd {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure([0, 1, 7, 8, 9].contains(&self.clock), "it has a clock that no timerfd has")?;
        ensure(self.settime_flags <= 3, "it has unknown flags")?;
        ensure(self.date_ns.is_none() || self.left_ns != 0, "it has a date and is not armed")
    }
}
