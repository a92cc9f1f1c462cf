//! The log of the kernel, open for reading.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// /dev/kmsg, open for reading, all of which has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelLog {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
    /// Number of the message that was read last.
    pub last: u64,
}

impl Resource for KernelLog {
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
