//! Marks that say how far a stream has come.

use crate::Resource;
use serde::{Deserialize, Serialize};

/// A stage has added its part. `restore` wants `dumpfs` and `dumpmem`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name of the tool.
    pub tool: String,
}

impl Resource for Stage {
    type Key = String;
    fn key(&self) -> String {
        self.tool.clone()
    }
}
