//! Scheduling of a thread (sched(7)).

use crate::{Bytes, Pid, Resource, Tid};
use serde::{Deserialize, Serialize};

/// Scheduling policy and affinity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sched {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// `struct sched_attr` as sched_getattr(2) gives it.
    pub attr: Bytes,
    /// CPU mask as sched_getaffinity(2) gives it.
    pub affinity: Bytes,
    /// /proc/PID/timerslack_ns, nanoseconds.
    pub timerslack_ns: u64,
}

impl Resource for Sched {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }
}
