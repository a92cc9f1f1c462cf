//! A regular file with a name.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// Bytes in front of the end of a file that [`Regular::tail`] is made of, where it is that long.
pub const TAIL: u64 = 64 << 10;

/// A regular file with a name. Its content does not travel: by what is noted here restore tells whether it has changed.
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
    /// Last change of its content, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of its inode, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// XXH3-64 of its last [`TAIL`] bytes, by which a file that only grew is known; `None` where they were not read.
    pub tail: Option<u64>,
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
