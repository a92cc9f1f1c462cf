//! Where a process stands in the file system.

use crate::{FileRef, Pid, record};
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
record!(Fs, 10, 1);
