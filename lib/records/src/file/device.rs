//! A character device without a state, such as /dev/null.

use crate::{FileId, FileRef, Link, Pid, Reference, Resource};
use serde::{Deserialize, Serialize};

/// A character device without a state, such as /dev/null.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the name is read.
    pub pid: Pid,
    /// Its name.
    pub name: FileRef,
    /// `st_rdev`.
    pub rdev: u64,
}

impl Resource for Device {
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
