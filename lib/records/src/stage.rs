//! Marks that say how far a stream has come.

use crate::record;
use serde::{Deserialize, Serialize};

/// `freeze` has written its last record before End. Later stages write their metadata behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEnd {
    /// Processes in the tree.
    pub processes: u32,
    /// Threads in the tree.
    pub threads: u32,
}
record!(TreeEnd, 30, 1);

/// A stage has added its part. `restore` wants `dumpfs` and `dumpmem`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name of the tool.
    pub tool: String,
}
record!(Stage, 31, 1);
