//! Named pipes (fifo(7)).

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// A named pipe (fifo(7)); contents in [`PipeData`](crate::PipeData) when nobody outside holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fifo {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
}

impl Resource for Fifo {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        self.name.references(self.pid, visit);
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        self.name.links(self.pid, visit);
    }

    fn check(&self) -> Result<(), String> {
        self.name.check()
    }
}
