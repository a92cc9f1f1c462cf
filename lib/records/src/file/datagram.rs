//! A socket of the internet that carries messages and is none of UDP.

use crate::{FileId, InetSocket, Resource, ensure};
use serde::{Deserialize, Serialize};

/// A raw socket (raw(7)), one of ICMP without privileges (icmp(7)), or one of UDP-Lite (udplite(7)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatagramSocket {
    /// The open file description.
    pub file: FileId,
    /// SOCK_DGRAM or SOCK_RAW.
    pub sock_type: u32,
    /// The number of its protocol.
    pub protocol: u32,
    /// Addresses and options.
    pub socket: InetSocket,
}

impl DatagramSocket {
    /// SOCK_DGRAM.
    pub const DATAGRAMS: u32 = 2;
    /// SOCK_RAW.
    pub const RAW: u32 = 3;
}

impl Resource for DatagramSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure([Self::DATAGRAMS, Self::RAW].contains(&self.sock_type), "it is of an unknown type")?;
        ensure(self.protocol <= 255, "it is of an unknown protocol")?;
        ensure(self.socket.backlog.is_none(), "sockets of messages do not listen")?;
        self.socket.check()
    }
}
