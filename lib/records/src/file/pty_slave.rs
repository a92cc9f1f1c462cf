//! Slaves of pseudo terminals whose masters belong to the tree (pty(7)).

use crate::{FileId, FileRef, Link, ObjectId, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// The slave of a pseudo terminal of the tree. What it shares with its other descriptions is in [`Pty`](crate::Pty). One whose
/// master is outside of the tree is an [`External`](crate::External) file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PtySlave {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name, whose last part is its index; `None` where no path leads to it there.
    pub name: Option<FileRef>,
    /// It was opened as the controlling terminal of its process, by this name (tty(4)).
    pub controlling: bool,
    /// The pseudo terminal.
    pub pty: ObjectId,
}

impl Resource for PtySlave {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        if let Some(name) = &mut self.name {
            visit(Reference::File(self.pid, "open file", name));
        }
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        crate::ensure(self.name.is_some() || !self.controlling, "it has no name to be opened by")?;
        self.name.as_ref().map_or(Ok(()), FileRef::check)
    }
}
