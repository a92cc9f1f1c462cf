//! Numbers and bytes of the target, as types that never turn into ours by accident.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(/// Process (thread group), process group or session id, 1 to 4,194,304.
    Pid, u32);
number!(/// Thread id, 1 to 4,194,304.
    Tid, u32);
number!(/// A descriptor number in a target's table.
    FdNum, u32);
number!(/// An address in a target's memory.
    Addr, u64);
number!(/// Names one open file description of the tree; unique in a stream, dense from 0.
    FileId, u32);
number!(/// Inode number of a namespace (ioctl_ns(2)).
    NsId, u64);

/// Bytes that the kernel gave: a path, a name, an address, a raw kernel structure.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// A file as a process refers to it. `aufsfix` rewrites the path, nothing else does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Absolute, relative to the root of the process, without a ` (deleted)` suffix.
    pub path: Bytes,
    /// It lies outside of the root of the process, as files that were opened before chroot(2) may: the path is
    /// relative to the root of the mount namespace.
    pub outside: bool,
    /// `st_dev` as the kernel packs it for user space (makedev(3)).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Mount id of /proc/PID/mountinfo, where known.
    pub mnt_id: Option<u32>,
    /// No name leads to the file any more.
    pub deleted: bool,
}

impl FileRef {
    /// The file itself, whatever leads to it.
    pub fn object(&self) -> ObjectId {
        ObjectId { dev: self.dev, ino: self.ino }
    }
}

/// Names a file without a name: shared anonymous memory, a memfd, a deleted file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectId {
    /// `st_dev` of the file.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}
