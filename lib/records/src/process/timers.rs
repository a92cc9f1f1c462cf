//! Timers of setitimer(2) and timer_create(2).

use crate::{Addr, Pid, Resource, SIGNALS, Tid, ensure, sane};
use serde::{Deserialize, Serialize};

/// Timers of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timers {
    /// Thread group.
    pub pid: Pid,
    /// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF: (interval, time left) in microseconds, 0 left for unarmed.
    pub itimers: [(u64, u64); 3],
    /// POSIX timers by ascending id.
    pub posix: Vec<PosixTimer>,
}

/// A timer of timer_create(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PosixTimer {
    /// Kernel timer id.
    pub id: u32,
    /// Clock, as timer_create(2) takes it.
    pub clock: i32,
    /// SIGEV_SIGNAL (0), SIGEV_NONE (1), SIGEV_THREAD (2), with SIGEV_THREAD_ID (4).
    pub notify: u32,
    /// Signal number.
    pub signal: u32,
    /// Value that comes with the signal.
    pub value: Addr,
    /// Thread that is notified, for SIGEV_THREAD_ID.
    pub tid: Option<Tid>,
    /// Nanoseconds, 0 for a one-shot timer.
    pub interval_ns: u64,
    /// Nanoseconds left, 0 for unarmed.
    pub left_ns: u64,
    /// timer_getoverrun(2).
    pub overrun: i32,
}

impl Resource for Timers {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let ids = self.posix.iter().map(|timer| timer.id);
        ensure(sane::ascending(ids), "its timers are not in ascending order")?;
        let low = self.posix.last().is_none_or(|timer| timer.id <= i32::MAX as u32);
        ensure(low, "a timer has an id that none has")?;
        self.posix.iter().try_for_each(PosixTimer::check)
    }
}

impl PosixTimer {
    fn check(&self) -> Result<(), String> {
        ensure([0, 1, 2, 4].contains(&self.notify), "a timer notifies in an unknown way")?;
        let thread = self.notify == 4;
        ensure(thread == self.tid.is_some(), "a timer notifies a thread and names none")?;
        let signals = self.notify != 1;
        let known = (1..=SIGNALS).contains(&self.signal);
        ensure(!signals || known, "a timer sends a signal that there is not")
    }
}
