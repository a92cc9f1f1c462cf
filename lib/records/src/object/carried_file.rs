//! Files that have a name and whose content travels all the same, because the user asked for it (`dumpfs --carry`). Restore makes
//! those again that are missing, and those that have changed where it is told to (`--on-change carry`).

use crate::{Bytes, FileRef, Link, ObjectId, Pid, Reference, Resource, ensure, sane};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that the tree knows it by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedName {
    /// A process that has it open or maps it under this name, in whose place the name is read.
    pub pid: Pid,
    /// The name.
    pub file: FileRef,
}

/// A regular file with its content, which follows as [`ObjectData`](crate::ObjectData).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedFile {
    /// What its content is known by: device and inode that it was read from.
    pub id: ObjectId,
    /// The names that the tree knows it by: 1 to 64.
    pub names: Vec<CarriedName>,
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
}

impl CarriedFile {
    /// Most names.
    pub const MOST: usize = 64;
}

impl fmt::Display for CarriedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => write!(f, "carried file {}", name.file.path),
            None => write!(f, "carried file {}", self.id.ino),
        }
    }
}

impl Resource for CarriedFile {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.id
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        for name in &mut self.names {
            visit(Reference::File(name.pid, "carried file", &mut name.file));
        }
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        self.names.iter().for_each(|name| visit(Link::Process(name.pid)));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.size <= i64::MAX as u64, "it is larger than any file")?;
        let count = (1..=Self::MOST).contains(&self.names.len());
        ensure(count, "it has no name, or too many")?;
        let named = |name: &CarriedName| {
            let last = name.file.path.0.rsplit(|byte| *byte == b'/').next();
            last.is_some_and(sane::is_name) && !name.file.deleted
        };
        ensure(self.names.iter().all(named), "a name of it is none of a file")?;
        self.names.iter().try_for_each(|name| name.file.check())?;
        sane::attributes(self.mode, &self.times, &self.attributes)
    }
}
