//! Mounts of a file that was removed since.

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// What a mount of a [`MountTree`](crate::MountTree) shows, where that is a regular file or a FIFO without a name. Written by `dumpmnt`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedMount {
    /// The mount namespace.
    pub space: NsId,
    /// The mount.
    pub mount: u32,
    /// Inode number of what it shows: several mounts may show the same.
    pub ino: u64,
    /// `st_mode`: S_IFREG or S_IFIFO, and permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Its content, 64 KiB at most.
    pub content: Bytes,
}

impl RemovedMount {
    /// Most bytes of a content.
    pub const LONGEST: usize = 64 << 10;

    /// Whether it is a FIFO.
    pub fn is_fifo(&self) -> bool {
        self.mode & 0o170_000 == 0o010_000
    }
}

impl Resource for RemovedMount {
    type Key = (NsId, u32);
    fn key(&self) -> Self::Key {
        (self.space, self.mount)
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.space, NsKind::Mnt));
    }

    fn check(&self) -> Result<(), String> {
        let regular = self.mode & 0o170_000 == 0o100_000;
        ensure(regular || self.is_fifo(), "it is neither a regular file nor a FIFO")?;
        ensure(self.content.0.len() <= Self::LONGEST, "its content is too long")?;
        ensure(regular || self.content.0.is_empty(), "a FIFO has a content")
    }
}
