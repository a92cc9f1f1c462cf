//! What an epoll instance watches (epoll(7)).

use crate::{FdNum, FileId, Link, Resource, ensure, sane};
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

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        self.watches.iter().for_each(|watch| visit(Link::File(watch.file)));
    }

    fn check(&self) -> Result<(), String> {
        let mut keys: Vec<_> = self.watches.iter().map(|watch| (watch.fd, watch.file)).collect();
        keys.sort_unstable();
        ensure(sane::ascending(keys.into_iter()), "it watches a file twice under one number")?;
        let own = self.watches.iter().any(|watch| watch.file == self.file);
        ensure(!own, "it watches itself")
    }
}
