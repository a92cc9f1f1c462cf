//! Messages of rtnetlink(7) and nf_tables, as the kernel shows and takes them.

use crate::{Bytes, ensure};
use serde::{Deserialize, Serialize};

/// Most bytes of all of its attributes.
const LONGEST: usize = 1 << 20;

/// A structure, and attributes behind it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetMessage {
    /// The structure (`struct ifaddrmsg`, `struct rtmsg` …).
    pub head: Bytes,
    /// The attributes, as they stand one behind the other (`struct nlattr`).
    pub attributes: Bytes,
}

impl NetMessage {
    /// Whether it can be one whose structure has this length.
    pub(crate) fn check(&self, head: usize) -> Result<(), String> {
        ensure(self.head.0.len() == head, "a message of it has a structure of another length")?;
        attributes(&self.attributes)
    }
}

/// Attributes of one message.
pub(crate) fn attributes(all: &Bytes) -> Result<(), String> {
    ensure(all.0.len() <= LONGEST, "a message of it is too long")
}
