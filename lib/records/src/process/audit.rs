//! To whom the audit system ascribes a process (pam_loginuid(8)).

use crate::{Pid, Resource};
use serde::{Deserialize, Serialize};

/// The login uid. The audit session is numbered anew by the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Thread group.
    pub pid: Pid,
    /// /proc/PID/loginuid; `None` where it is not set.
    pub login_uid: Option<u32>,
}

impl Resource for Audit {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }
}
