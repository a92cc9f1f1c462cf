//! What an epoll instance watches (epoll(7)).

use crate::{FdNum, FileId, Resource};
use serde::{Deserialize, Serialize};

/// One watch of an epoll instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpollWatch {
    /// Number under which the file was added.
    pub fd: FdNum,
    /// The file.
    pub file: FileId,
    /// EPOLL events.
    pub events: u32,
    /// `epoll_data`.
    pub data: u64,
}

/// An epoll instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoll {
    /// The open file description.
    pub file: FileId,
    /// What it watches.
    pub watches: Vec<EpollWatch>,
}

impl Resource for Epoll {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }
}
