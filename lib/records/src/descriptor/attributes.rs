//! Attributes of what has no name and no content of its own: pipes and sockets (inode(7)).

use crate::{Attached, FileId, Property, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Owner, permissions and times of the inode behind a description. The owner of a socket counts in the rules of a firewall.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// A description of it.
    pub file: FileId,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Of a pipe, times of the last access and the last change: seconds, and nanoseconds below 1e9.
    pub times: Option<[(i64, u32); 2]>,
}

impl Resource for Attributes {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.mode <= 0o7777, "it has impossible permissions")?;
        let sane = self.times.iter().flatten().all(|time| time.1 < 1_000_000_000);
        ensure(sane, "it has an impossible time")
    }
}

impl Property for Attributes {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
