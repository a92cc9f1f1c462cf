//! Message queues that are open (mq_overview(7)).

use crate::{FdNum, FileId, FileRef, Link, ObjectId, Pid, Reference, Resource, SIGNALS, ensure};
use serde::{Deserialize, Serialize};

/// A description of a message queue. What it shares with the others of that queue is in [`Queue`](crate::Queue).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageQueue {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place the path is read.
    pub pid: Pid,
    /// The queue.
    pub queue: ObjectId,
    /// The path that it was opened by (`/dev/mqueue/…`); `None` where that was mq_open(3).
    pub path: Option<FileRef>,
    /// mq_open(3) was given O_CLOEXEC, which F_GETFL shows of a queue.
    pub cloexec: bool,
    /// Who is told of messages; at one description of a queue at most.
    pub notified: Option<Notified>,
}

/// The process that is told when a message comes into an empty queue (mq_notify(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notified {
    /// The process.
    pub pid: Pid,
    /// A descriptor of it that leads to the description.
    pub fd: FdNum,
    /// The signal that it gets; `None` for nothing (SIGEV_NONE), which keeps others from being told.
    pub signal: Option<u32>,
}

impl Resource for MessageQueue {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        if let Some(path) = &mut self.path {
            visit(Reference::File(self.pid, "open file", path));
        }
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
        visit(Link::Queue(self.queue));
        if let Some(notified) = self.notified {
            visit(Link::Descriptor(notified.pid, notified.fd, self.file));
        }
    }

    fn applied_on(&self) -> Option<(Pid, FdNum)> {
        self.notified.map(|notified| (notified.pid, notified.fd))
    }

    fn check(&self) -> Result<(), String> {
        let signal = self.notified.and_then(|notified| notified.signal);
        ensure(signal.is_none_or(|n| (1..=SIGNALS).contains(&n)), "it notifies by no signal")?;
        let removed = self.path.as_ref().is_some_and(|path| path.deleted);
        ensure(!removed, "its path is that of something else that was removed")?;
        self.path.as_ref().map_or(Ok(()), FileRef::check)
    }
}
