//! An eventfd (eventfd(2)).

use crate::{FileId, Resource, ensure};
use serde::{Deserialize, Serialize};

/// An eventfd (eventfd(2)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eventfd {
    /// The open file description.
    pub file: FileId,
    /// The counter.
    pub count: u64,
    /// EFD_SEMAPHORE.
    pub semaphore: bool,
}

impl Resource for Eventfd {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.count < u64::MAX, "its counter is higher than it can be")
    }
}
