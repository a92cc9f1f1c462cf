//! The numbers of an address space.

use crate::{Addr, Bytes, FileRef, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// Numbers of an address space, as prctl(2) PR_SET_MM_MAP takes them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mm {
    /// Thread group.
    pub pid: Pid,
    /// The executable.
    pub exe: FileRef,
    /// Code range.
    pub code: (Addr, Addr),
    /// Data range.
    pub data: (Addr, Addr),
    /// Start of the heap, and the break.
    pub brk: (Addr, Addr),
    /// Start of the stack.
    pub stack: Addr,
    /// Argument strings.
    pub args: (Addr, Addr),
    /// Environment strings.
    pub env: (Addr, Addr),
    /// /proc/PID/auxv.
    pub auxv: Bytes,
    /// XXH3-64 of the pages of the vdso, 0 where there is none.
    pub vdso_hash: u64,
}

impl Resource for Mm {
    type Key = Pid;
    fn key(&self) -> Pid {
        self.pid
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        // One that was removed travels.
        if !self.exe.deleted {
            visit(Reference::File(self.pid, "exe", &mut self.exe));
        }
    }
}
