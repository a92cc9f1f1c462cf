//! A thread: registers, and what it has registered with the kernel.

use crate::{Addr, Bytes, Pid, Resource, Tid};
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
}
