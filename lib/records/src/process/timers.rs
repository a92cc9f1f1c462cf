//! Timers of setitimer(2) and timer_create(2).

use crate::{Addr, Pid, Resource, Tid};
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
}
