//! Bulk that takes less room than it has bytes.

use crate::{Bytes, MAX_CONTENT, Resource, is_bulk};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A record of bulk whose content is compressed, a frame of its own. A bulk string follows: the frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compressed {
    /// By what.
    pub codec: Codec,
    /// Bytes of the content.
    pub len: u32,
    /// XXH3-64 of the content.
    pub digest: u64,
    /// The record that has the content: the whole item.
    pub record: Bytes,
}

/// A way to compress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Codec {
    /// A frame of Zstandard (RFC 8878).
    Zstd,
    /// A block of LZ4, without a frame.
    Lz4,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        })
    }
}

impl Compressed {
    /// Whether bulk of a kind may be in such a record. One within another would only cost.
    pub fn is_for(kind: u16) -> bool {
        is_bulk(kind) && kind != <Self as crate::Record>::KIND
    }
}

impl Resource for Compressed {
    type Key = Bytes;
    fn key(&self) -> Self::Key {
        self.record.clone()
    }

    fn check(&self) -> Result<(), String> {
        match u64::from(self.len) {
            1..=MAX_CONTENT => Ok(()),
            _ => Err("its content is empty, or longer than it may be".to_owned()),
        }
    }
}
