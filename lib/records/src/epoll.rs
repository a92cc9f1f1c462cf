//! What an epoll instance watches (epoll(7)).

use crate::{FdNum, FileId};
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
