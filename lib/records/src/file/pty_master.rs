//! Masters of pseudo terminals of the tree (pty(7)).

use crate::{FileId, FileRef, Link, ObjectId, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// The master of a pseudo terminal (ptmx(4)): it has only one open file description. The rest is in [`Pty`](crate::Pty).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PtyMaster {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// What was opened: /dev/ptmx, or ptmx of an instance of devpts.
    pub name: FileRef,
    /// The pseudo terminal.
    pub pty: ObjectId,
}

impl Resource for PtyMaster {
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
