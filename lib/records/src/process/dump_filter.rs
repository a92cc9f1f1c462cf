//! Which mappings a core dump contains (core(5)).

use crate::{Pid, Resource};
use serde::{Deserialize, Serialize};

/// The filter of core dumps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpFilter {
    /// Thread group.
    pub pid: Pid,
    /// Bits of /proc/PID/coredump_filter; `None` on a kernel without core dumps.
    pub bits: Option<u64>,
}

impl Resource for DumpFilter {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }
}
