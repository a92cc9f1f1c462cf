//! What is queued in a UNIX socket.

use crate::{Bytes, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Queued data of one socket, oldest first; bulk of all messages together follows when their sum is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketQueue {
    /// Inode of the socket that would receive the data.
    pub ino: u64,
    /// Lengths of the messages; one entry for a stream.
    pub messages: Vec<u32>,
    /// Of datagrams the address of who sent each, behind `sun_family`, empty for none; no entry at all where none has one.
    pub senders: Vec<Bytes>,
    /// All messages together.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Resource for SocketQueue {
    type Key = u64;
    fn key(&self) -> u64 {
        self.ino
    }

    fn content_len(&self) -> u64 {
        self.messages.iter().map(|len| u64::from(*len)).sum()
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn check(&self) -> Result<(), String> {
        ensure(!self.messages.contains(&0), "an empty message is queued in it")?;
        let fits = self.senders.is_empty() || self.senders.len() == self.messages.len();
        ensure(fits, "some of its messages have a sender and some have not")?;
        // 108 bytes, and a NUL that getsockname(2) may add.
        let short = self.senders.iter().all(|sender| sender.0.len() <= 109);
        ensure(short, "the address of a sender is too long")?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
