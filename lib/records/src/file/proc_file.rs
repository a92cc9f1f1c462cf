//! Files and directories of processes in /proc (proc_pid(5)).

use crate::{Bytes, FileId, Link, Pid, Resource, Tid, ensure, sane};
use serde::{Deserialize, Serialize};

/// A file or directory below /proc/PID of a process of the tree, or below /proc/PID/task/TID of a thread. What is read from it is of the moment of reading.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcFile {
    /// The open file description.
    pub file: FileId,
    /// The process whose file it is.
    pub process: Pid,
    /// Where it is below the directory of that process, without a slash in front; empty for the directory itself.
    pub path: Bytes,
    /// It is a directory.
    pub directory: bool,
}

impl ProcFile {
    /// The thread whose file it is, where it is below that one's directory.
    pub fn thread(&self) -> Option<Tid> {
        let below = self.path.0.strip_prefix(b"task/")?;
        let number = below.split(|byte| *byte == b'/').next()?;
        // No other name is one of /proc.
        std::str::from_utf8(number).ok()?.parse().ok().map(Tid)
    }
}

impl Resource for ProcFile {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        match self.thread() {
            Some(tid) => visit(Link::Thread(self.process, tid)),
            None => visit(Link::Member(self.process)),
        }
    }

    fn check(&self) -> Result<(), String> {
        sane::text(&self.path)?;
        let names = || self.path.0.split(|byte| *byte == b'/');
        let plain = self.path.0.is_empty() || names().all(sane::is_name);
        ensure(plain, "its path leads out of the directory of its process")
    }
}
