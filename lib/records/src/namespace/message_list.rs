//! System V message queues (msgget(2)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// A message queue in an IPC namespace of the tree's own, with its messages. Who has sent and received, and when, does not come
/// back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageList {
    /// The namespace.
    pub space: NsId,
    /// Its identifier.
    pub id: u32,
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// Permissions.
    pub mode: u32,
    /// User and group that it belongs to.
    pub owner: [u32; 2],
    /// User and group that made it.
    pub creator: [u32; 2],
    /// Bytes that it takes (`msg_qbytes`).
    pub max_bytes: u64,
    /// Type and text of each message, the oldest first.
    pub messages: Vec<(i64, Bytes)>,
}

impl MessageList {
    /// Most bytes of all messages that a record has room for.
    pub const BYTES: u64 = 4 << 20;
    /// Most messages that a record has room for.
    pub const MESSAGES: u64 = 1 << 16;
}

impl Resource for MessageList {
    type Key = (NsId, u32);
    fn key(&self) -> (NsId, u32) {
        (self.space, self.id)
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.space, NsKind::Ipc));
    }

    fn check(&self) -> Result<(), String> {
        let sane = self.id <= i32::MAX as u32 && self.mode <= 0o777;
        ensure(sane && self.messages.len() as u64 <= Self::MESSAGES, "it is no message queue")?;
        let bytes: u64 = self.messages.iter().map(|(_, text)| text.0.len() as u64).sum();
        let typed = self.messages.iter().all(|(kind, _)| *kind > 0);
        ensure(typed && bytes <= Self::BYTES, "a message in it is none")
    }
}
