//! A block device.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// A block device that is open for all (without O_EXCL of open(2)). Its content stays where it is; its position is that of the
/// description.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDevice {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
    /// `st_rdev`.
    pub rdev: u64,
}

impl Resource for BlockDevice {
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
