//! How later stages reach the holder of a tree.

use crate::{Resource, ensure};
use serde::{Deserialize, Serialize};

/// `freeze --then run` takes requests: copies of processes, and that the tree runs on before End. They go to a socket of
/// the holder ([`Begin`](crate::Begin)), of which a process that may trace it gets a duplicate by pidfd_getfd(2). Of no use in an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Number of the socket (SOCK_SEQPACKET) in the holder.
    pub fd: u32,
}

impl Resource for Requests {
    type Key = ();
    fn key(&self) {}

    fn check(&self) -> Result<(), String> {
        ensure(self.fd < 1 << 30, "the holder can have no such descriptor")
    }
}
