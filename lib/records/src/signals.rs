//! Signal dispositions, masks, queues and alternate stacks.

use crate::{Addr, Bytes, Pid, Tid, record};
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
record!(ProcessSignals, 4, 1);

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

/// Signals of a thread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadSignals {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Blocked signals, bit 0 for signal 1.
    pub mask: u64,
    /// sigaltstack(2): address, SS_ flags, bytes.
    pub altstack: (Addr, u32, u64),
    /// Signals queued for the thread: `siginfo_t`, 128 bytes each, oldest first.
    pub queued: Vec<Bytes>,
}
record!(ThreadSignals, 5, 1);
