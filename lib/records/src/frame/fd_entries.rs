//! What the descriptors of a process are by /proc, as `freeze` has read it when the process stood. `dumpfs` takes these records
//! out of the stream, and does not read the same again.

use crate::{Bytes, FdNum, FileId, Link, Pid, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// Descriptors of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FdEntries {
    /// Thread group.
    pub pid: Pid,
    /// By ascending number.
    pub entries: Vec<FdEntry>,
}

/// One descriptor: its number, where its link in /proc/PID/fd leads, the text of /proc/PID/fdinfo, the file where it was
/// opened by a path, a number that all descriptors of one description have, which `dumpfs` may change, and the number of the message
/// that was read last, of a log of the kernel, which nobody can tell any more when another one has come; whether it is known that no
/// process or signal was ever set for it. An array, because a process may have thousands of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FdEntry(
    pub FdNum,
    pub Bytes,
    pub Bytes,
    pub Option<NamedFile>,
    pub FileId,
    pub Option<u64>,
    pub bool,
);

/// What stat(2) says of a file: device, inode, type and permissions, number of links, the device that it is, bytes, last change
/// of the content and of the inode (nanoseconds since the epoch); its path as `freeze` sees it, whether no path leads to it any
/// more, and whether this one does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedFile(pub [u64; 6], pub [i64; 2], pub Bytes, pub bool, pub bool);

impl Resource for FdEntries {
    type Key = (Pid, FdNum);
    fn key(&self) -> Self::Key {
        (self.pid, self.entries.first().map_or(FdNum(0), |first| first.0))
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        let numbers = self.entries.iter().map(|entry| entry.0);
        ensure(sane::ascending(numbers), "its descriptors are not in ascending order")
    }
}
