//! Resource limits (getrlimit(2)).

use crate::{Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Limits of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Thread group.
    pub pid: Pid,
    /// (soft, hard) by resource number 0 to 15; `u64::MAX` is unlimited.
    pub limits: Vec<(u64, u64)>,
}

impl Resource for Limits {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.limits.len() == 16, "there are 16 limits")?;
        let ordered = self.limits.iter().all(|(soft, hard)| soft <= hard);
        ensure(ordered, "a soft limit is above its hard one")
    }
}
