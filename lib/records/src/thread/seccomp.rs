//! Restrictions of the system calls of a thread (seccomp(2)).

use crate::{Bytes, Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of a `struct sock_filter` (include/uapi/linux/filter.h).
pub const INSTRUCTION: usize = 8;
/// BPF_MAXINSNS.
const MOST: usize = 4096;
/// MAX_INSNS_PER_PATH of kernel/seccomp.c.
const MOST_IN_ALL: usize = 32_768;

/// What a thread may call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seccomp {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Nothing but read, write, _exit and sigreturn (SECCOMP_MODE_STRICT).
    pub strict: bool,
    /// Its filters, the oldest first.
    pub filters: Vec<Filter>,
}

/// A filter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// SECCOMP_FILTER_FLAG_*, as PTRACE_SECCOMP_GET_METADATA gives them.
    pub flags: u64,
    /// Instructions of classic BPF, of [`INSTRUCTION`] bytes each.
    pub program: Bytes,
}

impl Seccomp {
    /// Whether every call is allowed.
    pub fn is_free(&self) -> bool {
        !self.strict && self.filters.is_empty()
    }
}

impl Resource for Seccomp {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        let count = |filter: &Filter| filter.program.0.len() / INSTRUCTION;
        let whole = |filter: &Filter| {
            filter.program.0.len().is_multiple_of(INSTRUCTION)
                && (1..=MOST).contains(&count(filter))
        };
        ensure(self.filters.iter().all(whole), "a filter of it is no program")?;
        let all: usize = self.filters.iter().map(count).sum();
        ensure(all <= MOST_IN_ALL, "its filters have more instructions than the kernel takes")?;
        ensure(!self.strict || self.filters.is_empty(), "it is strict and has filters")
    }
}
