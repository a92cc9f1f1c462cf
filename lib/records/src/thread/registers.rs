//! A thread: registers, and what it has registered with the kernel.

use crate::{Addr, Bytes, Pid, Resource, SIGNALS, Tid, USER_END, ensure};
use serde::{Deserialize, Serialize};

/// A thread. The leader (tid equal to pid) comes first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Name, at most 15 bytes.
    pub comm: Bytes,
    /// `struct user_regs_struct` (NT_PRSTATUS), 216 bytes, with the interrupted call's `orig_rax` and the
    /// kernel's restart code in `rax`.
    pub regs: Bytes,
    /// NT_X86_XSTATE block: x87, SSE, AVX, AVX-512, PKRU, as XSAVE lays it out.
    #[serde(with = "crate::sparse")]
    pub xstate: Bytes,
    /// set_robust_list(2): address and length of the head, as registered.
    pub robust_list: (Addr, u64),
    /// set_tid_address(2): where the kernel writes 0 and wakes at the thread's death, 0 for none.
    pub clear_child_tid: Addr,
    /// rseq(2), if registered.
    pub rseq: Option<Rseq>,
    /// PR_GET_PDEATHSIG, 0 for none.
    pub pdeath_signal: u32,
}

/// A registered restartable-sequences area (rseq(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rseq {
    /// Address of `struct rseq`.
    pub addr: Addr,
    /// Bytes.
    pub len: u32,
    /// Signature before abort handlers.
    pub signature: u32,
}

impl Resource for Thread {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.comm.0.len() <= 15, "its name is too long")?;
        ensure(!self.comm.0.contains(&0), "its name has a zero byte")?;
        ensure(self.regs.0.len() == 216, "its registers are not whole")?;
        ensure(self.pdeath_signal <= SIGNALS, "it waits for a signal that there is not")?;
        let user = |addr: Addr| addr.0 < USER_END;
        let rseq = self.rseq.is_none_or(|rseq| user(rseq.addr) && rseq.len <= 4096);
        ensure(rseq && user(self.robust_list.0), "it has registered memory outside of user space")
    }
}
