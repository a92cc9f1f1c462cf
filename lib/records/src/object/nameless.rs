//! Files without a name: shared anonymous memory, memfds, deleted files, System V shared memory. Their content travels with the
//! tree. `dumpmem` writes those that a VMA maps, `dumpfs` those that only descriptors hold.

use crate::{
    Bytes, HugePages, Link, NsId, NsKind, ObjectId, PAGE_SIZE, Pid, Resource, ensure, sane,
};
use serde::{Deserialize, Serialize};

/// How the file is made again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ObjectKind {
    /// mmap(2) MAP_SHARED | MAP_ANONYMOUS.
    SharedAnon,
    /// memfd_create(2), with its name (without `memfd:`) and F_GET_SEALS.
    Memfd(Bytes, u32),
    /// memfd_secret(2).
    Secret,
    /// A regular file that was removed; the path it had.
    Deleted(Bytes),
    /// shmget(2). Its key has the identifier as inode; as device 0, or, of another IPC namespace than that of the root, the number of that
    /// and the highest bit.
    Segment(Segment),
}

/// A segment of System V shared memory (`struct shmid_ds` of shmctl(2)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// User and group that made it.
    pub creator: [u32; 2],
    /// The process that made it, and the last one that attached or detached it.
    pub pids: [Pid; 2],
    /// It goes with its last mapping (SHM_DEST).
    pub removed: bool,
    /// It is kept in memory (SHM_LOCKED).
    pub locked: bool,
}

/// What takes the place of the device of a segment in an [`ObjectId`]: the inode numbers of segments are their identifiers,
/// and those of other shared memory on the same device are not apart from them.
pub const SEGMENTS: u64 = 0;

/// In a place of the device that no device has: the segment is of another IPC namespace than that of the root, whose number follows.
const BELOW: u64 = 1 << 63;

/// What takes the place of the device of segments of an IPC namespace that is not that of the root.
pub const fn segments_below(space: NsId) -> u64 {
    BELOW | space.0
}

/// Whether the rest of an [`ObjectId`] with this device tells a segment.
pub const fn is_of_segments(dev: u64) -> bool {
    dev == SEGMENTS || dev & BELOW != 0
}

/// The IPC namespace of such segments; `None` for that of the root.
pub const fn space_of_segments(dev: u64) -> Option<NsId> {
    if dev & BELOW != 0 { Some(NsId(dev & !BELOW)) } else { None }
}

/// A file without a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its key.
    pub id: ObjectId,
    /// How it is made again.
    pub kind: ObjectKind,
    /// Bytes.
    pub size: u64,
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times of the last access and the last change: seconds, and nanoseconds below 1e9.
    pub times: [(i64, u32); 2],
    /// Extended attributes: name and value.
    pub attributes: Vec<(Bytes, Bytes)>,
    /// Where it is of pages of hugetlbfs.
    pub huge: Option<HugePages>,
}

impl Object {
    /// Bytes of a page of it.
    pub fn page_size(&self) -> u64 {
        self.huge.map_or(PAGE_SIZE, |huge| huge.size)
    }
}

impl Resource for Object {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        if let (ObjectKind::Segment(_), Some(space)) = (&self.kind, space_of_segments(self.id.dev))
        {
            visit(Link::Namespace(space, NsKind::Ipc));
        }
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.size <= i64::MAX as u64, "it is larger than any file")?;
        sane::attributes(self.mode, &self.times, &self.attributes)?;
        self.huge.map_or(Ok(()), HugePages::check)?;
        match &self.kind {
            ObjectKind::SharedAnon | ObjectKind::Secret => Ok(()),
            ObjectKind::Memfd(name, _) => {
                ensure(name.0.len() <= 249 && !name.0.contains(&0), "its name is none of a memfd")
            }
            ObjectKind::Deleted(path) => sane::text(path),
            ObjectKind::Segment(_) => {
                let sane = is_of_segments(self.id.dev) && self.id.ino <= i32::MAX as u64;
                ensure(sane && self.size > 0, "it is no segment of shared memory")?;
                ensure(self.mode <= 0o777, "it has impossible permissions")
            }
        }
    }
}
