//! Descriptor tables.

use crate::{FdNum, FileId, Link, Pid, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// Descriptors of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FdTable {
    /// Thread group.
    pub pid: Pid,
    /// By ascending number; at most 65,536 a record, long tables come as several.
    pub fds: Vec<Fd>,
}

/// One descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fd {
    /// Number.
    pub fd: FdNum,
    /// What it names.
    pub file: FileId,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

impl Resource for FdTable {
    type Key = (Pid, FdNum);
    fn key(&self) -> Self::Key {
        (self.pid, self.fds.first().map_or(FdNum(0), |first| first.fd))
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        let numbers = self.fds.iter().map(|fd| fd.fd);
        ensure(sane::ascending(numbers), "its descriptors are not in ascending order")
    }
}
