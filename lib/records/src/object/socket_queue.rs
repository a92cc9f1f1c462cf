//! What is queued in a UNIX socket.

use crate::{Resource, ensure};
use serde::{Deserialize, Serialize};

/// Queued data of one socket, oldest first; bulk of all messages together follows when their sum is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketQueue {
    /// Inode of the socket that would receive the data.
    pub ino: u64,
    /// Lengths of the messages; one entry for a stream.
    pub messages: Vec<u32>,
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
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
