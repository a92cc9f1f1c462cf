//! A socket of Multipath TCP.

use crate::{FileId, InetSocket, Resource, ensure};
use serde::{Deserialize, Serialize};

/// A socket of Multipath TCP (IPPROTO_MPTCP) that listens or was never connected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MptcpSocket {
    /// The open file description.
    pub file: FileId,
    /// Addresses and options.
    pub socket: InetSocket,
}

impl Resource for MptcpSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure(!self.socket.is_connection(), "a connection of Multipath TCP cannot be made")?;
        self.socket.check()
    }
}
