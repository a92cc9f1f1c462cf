//! Signal mask, queue and alternate stack of a thread.

use crate::{Addr, Bytes, Pid, Resource, Tid, USER_END, ensure, sane};
use serde::{Deserialize, Serialize};

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

impl Resource for ThreadSignals {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        let (addr, flags, size) = self.altstack;
        // SS_ONSTACK, SS_DISABLE, SS_AUTODISARM.
        ensure(flags & !0x8000_0003 == 0, "its alternate stack has unknown flags")?;
        let inside = addr.0.checked_add(size).is_some_and(|end| end <= USER_END) && size >= 2048;
        ensure(
            flags & 2 != 0 || inside,
            "its alternate stack is too small, or outside of user space",
        )?;
        sane::queue(&self.queued)
    }
}
