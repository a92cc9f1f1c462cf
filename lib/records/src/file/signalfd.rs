//! A signalfd (signalfd(2)).

use crate::{FileId, Resource};
use serde::{Deserialize, Serialize};

/// A signalfd (signalfd(2)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signalfd {
    /// The open file description.
    pub file: FileId,
    /// Signals, bit 0 for signal 1.
    pub mask: u64,
}

impl Resource for Signalfd {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }
}
