//! Descriptors that are only a path (O_PATH of open(2)) of something that is neither a regular file nor a directory.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource, ensure};
use serde::{Deserialize, Serialize};

/// A path of a device, a named pipe, a symbolic link, or the file of a socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialPath {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
    /// Type of `st_mode` (S_IFMT).
    pub kind: u32,
    /// `st_rdev` of a device, else 0.
    pub rdev: u64,
}

/// S_IFIFO, S_IFCHR, S_IFBLK, S_IFLNK and S_IFSOCK.
const KINDS: [u32; 5] = [0o010_000, 0o020_000, 0o060_000, 0o120_000, 0o140_000];

impl Resource for SpecialPath {
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
        ensure(KINDS.contains(&self.kind), "it is of an unknown type")?;
        self.name.check()
    }
}
