//! Pages of memory.

use crate::{Addr, Pid, Resource};
use serde::{Deserialize, Serialize};

/// A run of private pages; bulk of exactly `len` bytes follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Address space.
    pub pid: Pid,
    /// First address, page aligned.
    pub addr: Addr,
    /// Bytes, a multiple of the page size, at most 1 MiB.
    pub len: u32,
}

impl Resource for Pages {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, self.addr)
    }
}
