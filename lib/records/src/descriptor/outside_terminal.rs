//! Pseudo terminals whose masters are outside of the tree: all that it takes to make another one in their place.

use crate::{
    Attached, Bytes, FileId, FileRef, Link, ObjectId, Pid, Property, Pty, Reference, Resource,
    ensure,
};
use serde::{Deserialize, Serialize};

/// What an open file description of the tree names, beside its [`External`](crate::External): a slave whose master is outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideTerminal {
    /// The file, which is external.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// What was opened, where that has a name.
    pub name: Option<FileRef>,
    /// It was opened as the controlling terminal of its process (/dev/tty): its instance of devpts is not known.
    pub controlling: bool,
    /// `st_dev` of its instance of devpts, and its index there.
    pub pty: ObjectId,
    /// `c_iflag`, `c_oflag`, `c_cflag`, `c_lflag` (TCGETS2).
    pub flags: [u32; 4],
    /// `c_cc`.
    pub characters: Bytes,
    /// `c_ispeed`, `c_ospeed`, baud.
    pub speeds: [u32; 2],
    /// Rows, columns, width and height in pixels (TIOCGWINSZ).
    pub size: [u16; 4],
    /// Owner, group and permissions of the node.
    pub owner: (u32, u32, u32),
}

impl Resource for OutsideTerminal {
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
        let characters = self.characters.0.len() == Pty::CHARACTERS;
        ensure(characters, "it has another number of control characters")?;
        ensure(self.name.is_some() || !self.controlling, "it has no name to be opened by")?;
        self.name.as_ref().map_or(Ok(()), FileRef::check)
    }
}

impl Property for OutsideTerminal {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
