//! A TCP socket that listens, or one that is neither bound nor connected (tcp(7)).

use crate::{FileId, InetSocket, Resource};
use serde::{Deserialize, Serialize};

/// A TCP socket that listens, or one that is neither bound nor connected (tcp(7)).
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
