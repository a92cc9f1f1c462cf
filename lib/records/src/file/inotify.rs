//! What an inotify instance watches (inotify(7)).

use crate::{FileId, FileRef, Link, Pid, Reference, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// All that a mask can say: IN_ALL_EVENTS, IN_EXCL_UNLINK, IN_ONESHOT.
const MASK: u32 = 0xfff | 0x0400_0000 | 0x8000_0000;
/// One watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InotifyWatch {
    /// Its number, from 1.
    pub wd: u32,
    /// Events (IN_*), IN_EXCL_UNLINK and IN_ONESHOT.
    pub mask: u32,
    /// The file; one without a name is made by restore, and watched behind everything else that it does.
    pub name: FileRef,
}

/// An inotify instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inotify {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place names are read.
    pub pid: Pid,
    /// What it watches, by ascending numbers.
    pub watches: Vec<InotifyWatch>,
    /// Events waited to be read: they are lost, and it is told of an overflow (IN_Q_OVERFLOW) instead.
    pub overflow: bool,
}

impl Resource for Inotify {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        for watch in self.watches.iter_mut().filter(|watch| !watch.name.deleted) {
            visit(Reference::File(self.pid, "watched file", &mut watch.name));
        }
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
        let removed = self.watches.iter().filter(|watch| watch.name.deleted);
        removed.for_each(|watch| visit(Link::Nameless(watch.name.object())));
    }

    fn check(&self) -> Result<(), String> {
        let numbers = self.watches.iter().map(|watch| watch.wd);
        ensure(sane::ascending(numbers), "its watches are not in their order")?;
        for watch in &self.watches {
            ensure((1..=i32::MAX as u32).contains(&watch.wd), "a watch has no possible number")?;
            // It may wait for nothing but the end of its file, which is told to all.
            ensure(watch.mask & !MASK == 0, "a watch waits for events that there are not")?;
            watch.name.check()?;
        }
        Ok(())
    }
}
