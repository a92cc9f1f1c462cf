//! A regular file with a name.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// A regular file with a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regular {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
    /// Bytes, when it was captured.
    pub size: u64,
}

impl Resource for Regular {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        visit(Reference::File(self.pid, "open file", &mut self.name));
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        self.name.check()
    }
}
