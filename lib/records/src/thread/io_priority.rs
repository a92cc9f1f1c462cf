//! I/O priority of a thread (ioprio_set(2)).

use crate::{Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};

/// The class and level of its I/O.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoPriority {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// As ioprio_get(2) gives it; 0 where it follows from the nice value.
    pub value: u32,
}

impl Resource for IoPriority {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        // Three bits of class, thirteen of level and hint.
        ensure(self.value <= 0xffff, "its I/O priority is out of range")
    }
}
