//! A UDP socket (udp(7)).

use crate::{FileId, InetSocket, Resource};
use serde::{Deserialize, Serialize};

/// A UDP socket (udp(7)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpSocket {
    /// The open file description.
    pub file: FileId,
    /// Addresses and options.
    pub socket: InetSocket,
}

impl Resource for UdpSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        self.socket.check()
    }
}
