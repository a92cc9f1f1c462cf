//! Open file descriptions: what all of them have. What one is stands in a record of its own, of scope `file`.
//!
//! Sharing is kept: two descriptors that came from dup(2) or fork(2) name one [`FileId`].

use crate::{FileId, Link, Pid, Resource, ensure};
use serde::{Deserialize, Serialize};

/// An open file description.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenFile {
    /// Its key.
    pub id: FileId,
    /// A process that has it, and in whose mount namespace and root its paths are read.
    pub pid: Pid,
    /// F_GETFL: access mode and status flags.
    pub flags: u32,
    /// Offset, bytes.
    pub pos: u64,
    /// Number of the kind of the record that says what it is.
    pub kind: u16,
}

impl OpenFile {
    /// Whether it can be read from.
    pub fn reads(&self) -> bool {
        self.flags & 3 != 1
    }

    /// Whether it can be written to.
    pub fn writes(&self) -> bool {
        self.flags & 3 != 0
    }
}

impl Resource for OpenFile {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.pos <= i64::MAX as u64, "its offset lies behind every file")
    }
}
