//! What is queued in a UDP socket.

use crate::{Bytes, Resource, ensure};
use serde::{Deserialize, Serialize};

/// A datagram.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datagram {
    /// Its length, bytes.
    pub len: u32,
    /// Where it came from, as recvfrom(2) gives it: `struct sockaddr_in` or `struct sockaddr_in6`.
    pub from: Bytes,
    /// Where it was sent to: `struct sockaddr_in` where it came over IPv4, else `struct sockaddr_in6`.
    pub to: Bytes,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
}

/// Datagrams that nobody has read of a socket of UDP or UDP-Lite, oldest first; bulk of all together follows when their sum is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatagramQueue {
    /// Inode of the socket.
    pub ino: u64,
    /// The datagrams.
    pub messages: Vec<Datagram>,
    /// More were in it, which could not be carried.
    pub incomplete: bool,
    /// All datagrams together.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

impl DatagramQueue {
    /// All datagrams together, bytes.
    pub const MOST: usize = 8 << 20;
    /// How many there are at most.
    pub const MANY: usize = 1 << 16;
    /// The longest that a header of UDP can tell of.
    pub const LONGEST: u32 = 65_535 - 8;

    /// Whether there are empty ones, which show to one checkpoint only.
    pub fn has_empty(&self) -> bool {
        self.messages.iter().any(|message| message.len == 0)
    }
}

/// Bytes of `struct sockaddr_in` and of `struct sockaddr_in6`, and their families.
const FOUR: (usize, u16) = (16, 2);
const SIX: (usize, u16) = (28, 10);

impl Datagram {
    fn check(&self) -> Result<(), String> {
        ensure(self.len <= DatagramQueue::LONGEST, "a datagram is longer than any can be")?;
        let is = |address: &Bytes, (len, family): (usize, u16)| {
            let shown = address.0.first_chunk().copied().map(u16::from_ne_bytes);
            address.0.len() == len && shown == Some(family)
        };
        let mapped = self.from.0.get(8..20) == Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        let four = is(&self.to, FOUR) && (is(&self.from, FOUR) || is(&self.from, SIX) && mapped);
        let six = is(&self.to, SIX) && is(&self.from, SIX) && !mapped;
        ensure(four || six, "the addresses of a datagram do not go together")
    }
}

impl Resource for DatagramQueue {
    type Key = u64;
    fn key(&self) -> u64 {
        self.ino
    }

    fn content_len(&self) -> u64 {
        self.messages.iter().map(|message| u64::from(message.len)).sum()
    }

    fn content(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }

    fn check(&self) -> Result<(), String> {
        let few = self.messages.len() <= Self::MANY && self.content_len() <= Self::MOST as u64;
        ensure(few, "more is queued in it than is ever carried")?;
        self.messages.iter().try_for_each(Datagram::check)?;
        let whole = self.bytes.is_empty() || self.bytes.len() as u64 == self.content_len();
        ensure(whole, "its content has another length")
    }
}
