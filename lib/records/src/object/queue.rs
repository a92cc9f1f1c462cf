//! POSIX message queues (mq_overview(7)).

use crate::{Bytes, ObjectId, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// A message queue. Its messages stay in it: they can be read only by taking them out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Device and inode, which tell it from others while the system runs.
    pub id: ObjectId,
    /// Its name in its IPC namespace, with the leading slash; the last one that it had where it was removed.
    pub name: Bytes,
    /// It was removed (mq_unlink(3)), and is empty.
    pub removed: bool,
    /// Messages that it takes (`mq_maxmsg`).
    pub max_messages: u32,
    /// Bytes that a message may have (`mq_msgsize`).
    pub message_size: u32,
    /// Messages that waited in it.
    pub messages: u32,
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times of the last access and of the last message that came or went: seconds, and nanoseconds below 1e9.
    pub times: [(i64, u32); 2],
}

impl Queue {
    /// Most messages that a queue takes (HARD_MSGMAX of include/linux/ipc_namespace.h).
    pub const MESSAGES: u32 = 65_536;
    /// Most bytes that a message has (HARD_MSGSIZEMAX).
    pub const MESSAGE_SIZE: u32 = 16 << 20;
}

impl Resource for Queue {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.id
    }

    fn check(&self) -> Result<(), String> {
        let name = self.name.0.strip_prefix(b"/");
        ensure(name.is_some_and(sane::is_name), "its name is none of a message queue")?;
        let messages = (1..=Self::MESSAGES).contains(&self.max_messages);
        let size = (1..=Self::MESSAGE_SIZE).contains(&self.message_size);
        ensure(messages && size, "its size is none of a message queue")?;
        ensure(self.messages <= self.max_messages, "more is queued in it than fits")?;
        ensure(!self.removed || self.messages == 0, "it was removed, and is not empty")?;
        sane::attributes(self.mode, &self.times, &[])
    }
}
