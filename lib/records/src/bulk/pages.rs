//! Pages of memory.

use crate::{Addr, PAGE_SIZE, Pid, Ranges, Resource};
use serde::{Deserialize, Serialize};

/// Private pages of one address space. A bulk string follows: the bytes of all ranges, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Thread group.
    pub pid: Pid,
    /// Addresses.
    pub ranges: Ranges<PAGE_SIZE>,
}

impl Resource for Pages {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, Addr(self.ranges.as_slice().first().map_or(0, |first| first.0)))
    }
}
