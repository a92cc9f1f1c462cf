//! Contents of files without a name.

use crate::{ObjectId, Resource};
use serde::{Deserialize, Serialize};

/// A run of an object's content; bulk of exactly `len` bytes follows. What is not sent is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectData {
    /// The object.
    pub id: ObjectId,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes, at most 1 MiB.
    pub len: u32,
}

impl Resource for ObjectData {
    type Key = (ObjectId, u64);
    fn key(&self) -> Self::Key {
        (self.id, self.offset)
    }
}
