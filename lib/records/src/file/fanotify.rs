//! What a fanotify group is told of (fanotify(7)).

use crate::{FileId, FileRef, Link, MAX_RECORD, Pid, Reference, Resource, ensure};
use serde::{Deserialize, Serialize};

/// FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE, FAN_UNLIMITED_MARKS, FAN_ENABLE_AUDIT, and all of FAN_REPORT_* but FAN_REPORT_MNT.
pub const GROUP_FLAGS: u32 = 0x3 | 0x70 | 0x3f80;
/// FAN_MARK_IGNORED_SURV_MODIFY, FAN_MARK_EVICTABLE, FAN_MARK_IGNORE.
pub const MARK_FLAGS: u32 = 0x40 | 0x200 | 0x400;
/// FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS.
pub const PERMISSION: u32 = 0x17_0000;

/// What a mark is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Marked {
    /// A file or directory.
    Inode,
    /// A mount.
    Mount,
    /// A file system.
    FileSystem,
}

/// One mark.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FanotifyMark {
    /// What it is on.
    pub on: Marked,
    /// FAN_MARK_IGNORED_SURV_MODIFY, FAN_MARK_EVICTABLE, FAN_MARK_IGNORE.
    pub flags: u32,
    /// Events that are told.
    pub mask: u32,
    /// Events that are not.
    pub ignored: u32,
    /// The file, or the top of the mount or of a mount of the file system.
    pub name: FileRef,
}

/// A fanotify group that only tells of events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fanotify {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place names are read.
    pub pid: Pid,
    /// Flags of fanotify_init(2).
    pub flags: u32,
    /// Flags that it opens files with.
    pub event_flags: u32,
    /// What it is told of, in the order in which the marks are made.
    pub marks: Vec<FanotifyMark>,
}

/// Bytes of the record of a mark beside its path, at most.
const MARK: usize = 130;

impl Fanotify {
    /// Whether a record holds all marks.
    pub fn fits(&self) -> bool {
        let marks = self.marks.iter().map(|mark| MARK + mark.name.path.0.len());
        marks.sum::<usize>() <= MAX_RECORD
    }
}

impl Resource for Fanotify {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        for mark in &mut self.marks {
            visit(Reference::File(self.pid, "marked file", &mut mark.name));
        }
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.flags & !GROUP_FLAGS == 0, "it has flags that there are not")?;
        for mark in &self.marks {
            ensure(mark.flags & !MARK_FLAGS == 0, "a mark has flags that there are not")?;
            ensure(mark.mask | mark.ignored != 0, "a mark is for nothing")?;
            let asks = (mark.mask | mark.ignored) & PERMISSION != 0;
            ensure(!asks, "a mark asks for permission")?;
            ensure(!mark.name.deleted, "it marks a removed file")?;
            mark.name.check()?;
        }
        Ok(())
    }
}
