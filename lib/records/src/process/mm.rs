//! The numbers of an address space.

use crate::{Addr, Bytes, FileRef, Link, Pid, Reference, Resource, USER_END, ensure};
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
    /// Protection keys (pkeys(7)) that the process has allocated: bit n for key n. Key 0 and the one that the kernel has taken for
    /// memory that can only be executed are none of them.
    pub keys: u16,
}

/// Protection keys that a process can allocate: key 0 is that of all ordinary memory.
pub const PROTECTION_KEYS: std::ops::Range<u8> = 1..16;

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

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        if self.exe.deleted {
            visit(Link::Object(self.exe.object()));
        }
    }

    fn check(&self) -> Result<(), String> {
        self.exe.check()?;
        // Pairs of addresses of 8 bytes; the kernel keeps some twenty (AT_VECTOR_SIZE).
        let whole = self.auxv.0.len().is_multiple_of(8) && self.auxv.0.len() <= 1024;
        ensure(whole, "its auxiliary vector is none")?;
        // As prctl(2) wants them.
        ensure(self.code.0 < self.code.1, "its code ends before it starts")?;
        let pairs = [self.data, self.brk, self.args, self.env];
        ensure(
            pairs.iter().all(|(start, end)| start <= end),
            "a range of it ends before it starts",
        )?;
        let all = pairs.iter().chain([&self.code]).flat_map(|(start, end)| [*start, *end]);
        let user = all.chain([self.stack]).all(|at| at.0 < USER_END);
        ensure(user, "a range of it lies outside of user space")
    }
}
