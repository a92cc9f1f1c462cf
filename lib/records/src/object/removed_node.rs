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
    /// A directory in /proc of a process or thread that has ended.
    OfEnded,
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

impl RemovedNode {
    /// Where it was below /proc: what its process was called, and the path below the directory of that, which may be empty.
    pub fn of_ended(&self) -> Option<(Pid, Bytes)> {
        let below = self.name.path.0.strip_prefix(b"/proc/")?;
        let cut = below.iter().position(|byte| *byte == b'/').unwrap_or(below.len());
        let (pid, rest) = below.split_at(cut);
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let plain = rest.is_empty() || rest.split(|byte| *byte == b'/').all(sane::is_name);
        let pid = std::str::from_utf8(pid).ok()?.parse().ok()?;
        plain.then(|| (Pid(pid), rest.into()))
    }
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
        if self.kind == NodeKind::OfEnded {
            ensure(self.of_ended().is_some(), "it is of no process")?;
        }
        sane::attributes(self.mode, &self.times, &self.attributes)
    }
}
