//! What was removed while the tree had it, and is no regular file: directories, named pipes, devices, symbolic links, sockets' files.

use crate::{Bytes, FileRef, Link, ObjectId, Pid, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// What it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeKind {
    /// An empty directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// The file of a socket.
    Socket,
    /// A symbolic link, and where it leads.
    Symlink(Bytes),
    /// A character device: `st_rdev`.
    CharDevice(u64),
    /// A block device: `st_rdev`.
    BlockDevice(u64),
}

/// A file that no name leads to any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedNode {
    /// A process that has it, in whose place its last name is read.
    pub pid: Pid,
    /// Its last name, device and inode.
    pub name: FileRef,
    /// What it is.
    pub kind: NodeKind,
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times of the last access and the last change: seconds, and nanoseconds below 1e9.
    pub times: [(i64, u32); 2],
    /// Extended attributes of a directory: name and value.
    pub attributes: Vec<(Bytes, Bytes)>,
}

impl Resource for RemovedNode {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.name.object()
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        self.name.check()?;
        let last = self.name.path.0.rsplit(|byte| *byte == b'/').next();
        ensure(last.is_some_and(sane::is_name), "its name is none of a file")?;
        ensure(self.name.deleted, "a name leads to it")?;
        if let NodeKind::Symlink(to) = &self.kind {
            sane::text(to)?;
            ensure(!to.0.is_empty(), "it leads nowhere")?;
        }
        sane::attributes(self.mode, &self.times, &self.attributes)
    }
}
