//! Single settings of a process (prctl(2), personality(2), proc_pid_oom_score_adj(5)).

use crate::{Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Settings of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Thread group.
    pub pid: Pid,
    /// Personality bits (personality(2)).
    pub personality: u32,
    /// PR_GET_DUMPABLE.
    pub dumpable: u32,
    /// PR_GET_CHILD_SUBREAPER.
    pub child_subreaper: bool,
    /// PR_GET_THP_DISABLE.
    pub thp_disabled: bool,
    /// /proc/PID/oom_score_adj, -1000 to 1000.
    pub oom_score_adj: i32,
}

impl Resource for Settings {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.dumpable <= 2, "it has an unknown kind of dumpable")?;
        ensure((-1000..=1000).contains(&self.oom_score_adj), "its oom_score_adj is out of range")
    }
}
