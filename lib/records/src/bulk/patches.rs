//! Bytes by which pages differ from those that were inherited.

use crate::{Addr, Pid, Ranges, Resource};
use serde::{Deserialize, Serialize};

/// Bytes of pages that a process has otherwise from its parent ([`Inherited`](crate::Inherited)). A bulk string follows: the
/// bytes of all ranges, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Thread group.
    pub pid: Pid,
    /// Addresses.
    pub ranges: Ranges<1>,
}

impl Resource for Patches {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, Addr(self.ranges.as_slice().first().map_or(0, |first| first.0)))
    }
}
