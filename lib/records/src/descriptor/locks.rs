//! File locks (flock(2), fcntl_locking(2)).

use crate::{Attached, FdNum, Pid, Property, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Locks that are held by way of a descriptor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locks {
    /// Thread group.
    pub pid: Pid,
    /// The descriptor; for what belongs to an open file description, the first one that names it.
    pub fd: FdNum,
    /// The locks.
    pub locks: Vec<Lock>,
}

/// Whose a lock is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LockKind {
    /// flock(2): of the open file description, over the whole file.
    Flock,
    /// F_OFD_SETLK: of the open file description.
    Ofd,
    /// F_SETLK: of the process.
    Posix,
}

/// One lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Whose.
    pub kind: LockKind,
    /// Exclusive.
    pub exclusive: bool,
    /// First byte.
    pub start: u64,
    /// Last byte; `None` up to the end of the file, however long it gets.
    pub last: Option<u64>,
}

impl Resource for Locks {
    type Key = (Pid, FdNum);
    fn key(&self) -> Self::Key {
        (self.pid, self.fd)
    }

    fn check(&self) -> Result<(), String> {
        let ordered = |lock: &Lock| {
            lock.start <= i64::MAX as u64
                && lock.last.is_none_or(|last| (lock.start..=i64::MAX as u64).contains(&last))
        };
        ensure(self.locks.iter().all(ordered), "a lock ends before it starts, or behind every file")
    }
}

impl Property for Locks {
    fn attached(&self) -> Attached {
        Attached::Descriptor(self.pid, self.fd)
    }
}
