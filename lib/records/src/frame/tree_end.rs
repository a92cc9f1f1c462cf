//! Says that `freeze` has written its part.

use crate::Resource;
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

impl Resource for TreeEnd {
    type Key = ();
    fn key(&self) {}
}
