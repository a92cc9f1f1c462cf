//! From which nodes a thread gets its memory (set_mempolicy(2)).

use crate::{Bytes, Pid, Resource, Tid, ensure};
use serde::{Deserialize, Serialize};

/// The memory policy of a thread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryPolicy {
    /// Thread group.
    pub pid: Pid,
    /// Thread id.
    pub tid: Tid,
    /// Mode and its flags as get_mempolicy(2) gives them; 0 (MPOL_DEFAULT) also on a kernel without policies.
    pub mode: u32,
    /// Bit n for node n, without zeros at the end.
    pub nodes: Bytes,
}

impl MemoryPolicy {
    /// Bytes of a mask that has room for all nodes that a kernel may have (MAX_NUMNODES).
    pub const MASK: usize = 128;
}

impl Resource for MemoryPolicy {
    type Key = Tid;
    fn key(&self) -> Self::Key {
        self.tid
    }

    fn check(&self) -> Result<(), String> {
        ensure(
            self.nodes.0.len() <= Self::MASK,
            "its memory policy names more nodes than there can be",
        )
    }
}
