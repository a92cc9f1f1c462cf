//! What does not come back with the tree, by name. `imgpack --list` and `restore` show it.

use crate::{Finding, Resource};
use serde::{Deserialize, Serialize};

/// Losses of one stage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    /// The tool that found them.
    pub tool: String,
    /// Each once.
    pub lost: Vec<Finding>,
}

impl Resource for Losses {
    type Key = String;
    fn key(&self) -> String {
        self.tool.clone()
    }
}
