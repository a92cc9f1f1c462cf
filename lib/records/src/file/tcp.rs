//! A TCP socket (tcp(7)).

use crate::{FileId, InetSocket, Resource};
use serde::{Deserialize, Serialize};

/// A TCP socket (tcp(7)). Of one that has a peer there is a [`TcpConnection`](crate::TcpConnection) of the same inode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpSocket {
    /// The open file description.
    pub file: FileId,
    /// Addresses and options.
    pub socket: InetSocket,
}

impl Resource for TcpSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        self.socket.check()
    }
}
