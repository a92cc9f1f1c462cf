//! A lease on a file (fcntl(2), F_SETLEASE).

use crate::{Attached, FdNum, FileId, Pid, Property, Resource};
use serde::{Deserialize, Serialize};

/// A lease that nobody is breaking. Who is told of its end and how is said by [`Owner`](crate::Owner).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The open file description that holds it.
    pub file: FileId,
    /// The process that took it, where that still has the description.
    pub pid: Pid,
    /// The descriptor that it is taken on, which the signal of its end names.
    pub fd: FdNum,
    /// F_WRLCK, else F_RDLCK.
    pub exclusive: bool,
}

impl Resource for Lease {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }
}

impl Property for Lease {
    fn attached(&self) -> Attached {
        Attached::Descriptor(self.pid, self.fd)
    }
}
