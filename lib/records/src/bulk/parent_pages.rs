//! Pages that a parent has for a child that is about to be made.

use crate::{Addr, PAGE_SIZE, Pid, Ranges, Resource};
use serde::{Deserialize, Serialize};

/// Pages that are put into the parent of a process before that process is made, which has them from there
/// ([`Inherited`](crate::Inherited)). A bulk string follows: the bytes of all ranges, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentPages {
    /// The child.
    pub pid: Pid,
    /// Addresses.
    pub ranges: Ranges<PAGE_SIZE>,
}

impl Resource for ParentPages {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, Addr(self.ranges.as_slice().first().map_or(0, |first| first.0)))
    }
}
