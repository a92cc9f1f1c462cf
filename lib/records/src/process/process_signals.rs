//! Signal dispositions, and the queue of a process.

use crate::{Addr, Bytes, Pid, Resource, SIGNALS, ensure, sane};
use serde::{Deserialize, Serialize};

/// Signals of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSignals {
    /// Thread group.
    pub pid: Pid,
    /// Dispositions that differ from the default, by ascending number.
    pub actions: Vec<SigAction>,
    /// Signals queued for the process: `siginfo_t`, 128 bytes each, oldest first.
    pub queued: Vec<Bytes>,
}

/// A disposition as rt_sigaction(2) gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigAction {
    /// 1 to 64.
    pub signal: u32,
    /// Handler address, SIG_DFL (0) or SIG_IGN (1).
    pub handler: Addr,
    /// SA_ flags.
    pub flags: u64,
    /// Address of the restorer.
    pub restorer: Addr,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

impl Resource for ProcessSignals {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn check(&self) -> Result<(), String> {
        let may = |signal: u32| (1..=SIGNALS).contains(&signal) && ![9, 19].contains(&signal);
        ensure(self.actions.iter().all(|a| may(a.signal)), "it handles a signal that nobody can")?;
        let numbers = self.actions.iter().map(|action| action.signal);
        ensure(sane::ascending(numbers), "its dispositions are not in ascending order")?;
        sane::queue(&self.queued)
    }
}
