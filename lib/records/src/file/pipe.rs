//! Ends of pipes (pipe(7)).

use crate::{FileId, ObjectId, Resource};
use serde::{Deserialize, Serialize};

/// An end of a pipe that belongs to the tree (pipe(7)); contents in [`PipeData`](crate::PipeData).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipe {
    /// The open file description.
    pub file: FileId,
    /// The pipe.
    pub pipe: ObjectId,
}

impl Resource for Pipe {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }
}
