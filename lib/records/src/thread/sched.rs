//! Scheduling of a thread (sched(7)).

use crate::{Bytes, Pid, Resource, Tid, ensure};
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

    fn check(&self) -> Result<(), String> {
        let size = self.attr.0.first_chunk().copied().map_or(0, u32::from_ne_bytes) as usize;
        // SCHED_ATTR_SIZE_VER0, and what copy_struct_from_user() of the kernel takes.
        let whole = (48..=self.attr.0.len()).contains(&size) && self.attr.0.len() <= 4096;
        ensure(whole, "its scheduling attributes are not whole")?;
        let mask =
            (1..=1024).contains(&self.affinity.0.len()) && self.affinity.0.len().is_multiple_of(8);
        ensure(mask && self.affinity.0.iter().any(|byte| *byte != 0), "it may run on no CPU")
    }
}
