//! Pipes and named pipes (pipe(7), fifo(7)).

use crate::{ObjectId, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Longest packet (PIPE_BUF), bytes.
const PACKET: u32 = 4096;

/// Contents of a pipe; bulk of exactly `len` bytes follows when `len` is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipeData {
    /// The pipe: device and inode, for a named pipe those of its file.
    pub id: ObjectId,
    /// F_GETPIPE_SZ, bytes.
    pub capacity: u32,
    /// Bytes queued, at most 1 MiB.
    pub len: u32,
    /// Lengths of the packets that the bytes are, 1 to 4096 each; empty where they are no packets (O_DIRECT).
    pub packets: Vec<u32>,
    /// What is queued.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl Resource for PipeData {
    type Key = ObjectId;
    fn key(&self) -> ObjectId {
        self.id
    }

    fn content_len(&self) -> u64 {
        u64::from(self.len)
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.len <= self.capacity, "more is queued in it than fits")?;
        let sum: u64 = self.packets.iter().map(|len| u64::from(*len)).sum();
        let packets = self.packets.is_empty() || sum == u64::from(self.len);
        ensure(packets, "its packets are not what is queued in it")?;
        let one = |len: &u32| (1..=PACKET).contains(len);
        ensure(self.packets.iter().all(one), "a packet has a length that none has")?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
