//! The nice value of a session as a whole (sched(7), "The autogroup feature").

use crate::{Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// The nice value of the autogroup that a session leader has made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autogroup {
    /// Thread group.
    pub pid: Pid,
    /// -20 to 19; `None` for a process that leads no session, and where there are no autogroups.
    pub nice: Option<i32>,
}

impl Resource for Autogroup {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let sane = self.nice.is_none_or(|nice| (-20..=19).contains(&nice));
        ensure(sane, "the nice value of its autogroup is out of range")
    }
}
