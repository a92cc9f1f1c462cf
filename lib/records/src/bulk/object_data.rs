//! Contents of files without a name.

use crate::{ObjectId, Ranges, Resource};
use serde::{Deserialize, Serialize};

/// Content of a file without a name. A bulk string follows: the bytes of all ranges, one behind the other. What is not sent
/// is zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectData {
    /// The object.
    pub id: ObjectId,
    /// Offsets in the file.
    pub ranges: Ranges<1>,
}

impl Resource for ObjectData {
    type Key = (ObjectId, u64);
    fn key(&self) -> Self::Key {
        (self.id, self.ranges.as_slice().first().map_or(0, |first| first.0))
    }
}
