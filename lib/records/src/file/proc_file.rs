//! Files and directories of processes in /proc (proc_pid(5)).

use crate::{Bytes, FileId, Link, Pid, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// A file or directory below /proc/PID of a process of the tree. What is read from it is of the moment of reading.
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

impl Resource for ProcFile {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Member(self.process));
    }

    fn check(&self) -> Result<(), String> {
        sane::text(&self.path)?;
        let names = || self.path.0.split(|byte| *byte == b'/');
        let plain = self.path.0.is_empty() || names().all(sane::is_name);
        ensure(plain, "its path leads out of the directory of its process")
    }
}
