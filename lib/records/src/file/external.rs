//! What belongs to the world outside of the tree.

use crate::{Bytes, FileId, Resource, sane};
use serde::{Deserialize, Serialize};

/// Belongs to the world outside of the tree: a terminal, or a pipe or socket whose other end is elsewhere. Restore takes
/// it from its own standard streams or from `--inherit`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The open file description.
    pub file: FileId,
    /// What it was, for people.
    pub what: Bytes,
}

impl Resource for External {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        sane::text(&self.what)
    }
}
