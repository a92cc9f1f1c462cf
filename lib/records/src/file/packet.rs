//! A packet socket (packet(7)).

use crate::{Bytes, FileId, Resource, SocketOption, ensure, sane};
use serde::{Deserialize, Serialize};

/// A packet socket (packet(7)). Packets that nobody has read are lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketSocket {
    /// The open file description.
    pub file: FileId,
    /// SOCK_RAW or SOCK_DGRAM.
    pub sock_type: u32,
    /// Protocol of the packets that it gets, such as ETH_P_ALL; 0 for none.
    pub protocol: u32,
    /// Index of the interface that it is bound to; 0 for all.
    pub interface: u32,
    /// What it has interfaces receive beside their own packets.
    pub memberships: Vec<PacketMembership>,
    /// Number, type and flags of the group that shares packets with it (PACKET_FANOUT).
    pub fanout: Option<u32>,
    /// Options.
    pub options: Vec<SocketOption>,
}

/// Packets that an interface is to receive for a socket (PACKET_ADD_MEMBERSHIP).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketMembership {
    /// Index of the interface.
    pub interface: u32,
    /// PACKET_MR_MULTICAST and the like.
    pub kind: u32,
    /// Address of the group.
    pub address: Bytes,
    /// How often it has been asked for.
    pub count: u32,
}

impl PacketSocket {
    /// Type of a group (PACKET_FANOUT), where it has one.
    pub fn fanout_type(&self) -> Option<u32> {
        self.fanout.map(|fanout| fanout >> 16 & 0xff)
    }
}

impl Resource for PacketSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure([2, 3].contains(&self.sock_type), "it is of an unknown type")?;
        ensure(self.protocol <= 0xffff, "it is of an unknown protocol")?;
        ensure(self.interface <= i32::MAX as u32, "its interface is none")?;
        let few = self.memberships.iter().map(|it| u64::from(it.count)).sum::<u64>() <= 65_536;
        let sane = self.memberships.iter().all(|it| {
            it.address.0.len() <= 32 && it.kind <= 0xffff && it.interface <= i32::MAX as u32
        });
        ensure(few && sane, "a membership of it is none")?;
        sane::options(&self.options)
    }
}
