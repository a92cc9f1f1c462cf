//! What an address space has registered for by membarrier(2).

use crate::{Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Registrations for expedited memory barriers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membarrier {
    /// Thread group.
    pub pid: Pid,
    /// Commands MEMBARRIER_CMD_REGISTER_*, each of them one bit; 0 on kernels that do not tell (before 6.3).
    pub registered: u32,
}

impl Membarrier {
    /// MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, and those for private barriers: plain, SYNC_CORE, RSEQ.
    const REGISTERING: u32 = 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8;
}

impl Resource for Membarrier {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let known = self.registered & !Self::REGISTERING == 0;
        ensure(known, "it has registered for an unknown kind of memory barrier")
    }
}
