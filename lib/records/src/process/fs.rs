//! Where a process stands in the file system.

use crate::{FileRef, Pid, Reference, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Working directory, root and umask.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fs {
    /// Thread group.
    pub pid: Pid,
    /// Working directory; relative to `root`.
    pub cwd: FileRef,
    /// Root; its path is relative to the root of the mount namespace.
    pub root: FileRef,
    /// File mode creation mask, 0 to 0o777.
    pub umask: u32,
}

impl Resource for Fs {
    type Key = Pid;
    fn key(&self) -> Self::Key {
        self.pid
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        if !self.cwd.deleted {
            visit(Reference::File(self.pid, "cwd", &mut self.cwd));
        }
        if !self.root.deleted {
            visit(Reference::Root(self.pid, &mut self.root));
        }
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.umask <= 0o777, "its umask has unknown bits")?;
        self.cwd.check()?;
        self.root.check()
    }
}
