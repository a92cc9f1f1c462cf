//! What sock_diag(7) tells of netlink and packet sockets, for which there are no ready structures.

use crate::sock_diag::request_all;
use floe_records::{Bytes, PacketMembership};
use netlink_packet_core::{NLM_F_DUMP, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use std::{collections::HashMap, convert::Infallible, io::Result};

/// SOCK_DIAG_BY_FAMILY.
const BY_FAMILY: u16 = 20;

/// State of a netlink socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Netlink {
    /// connect(2) has been called, be it to the kernel.
    pub connected: bool,
    /// The kernel has more to say to a request (NLM_F_DUMP), and will when there is room for it.
    pub answers: bool,
}

/// The netlink sockets of our network namespace that have a number, by inode.
pub(crate) fn netlink() -> Result<HashMap<u32, Netlink>> {
    /// NDIAG_PROTO_ALL, NDIAG_SHOW_FLAGS, NETLINK_DIAG_FLAGS, NDIAG_FLAG_CB_RUNNING of linux/netlink_diag.h.
    const ALL: u8 = 255;
    const SHOW_FLAGS: u32 = 8;
    const FLAGS: u16 = 4;
    const RUNNING: u32 = 1;
    /// NETLINK_CONNECTED of net/netlink/af_netlink.h.
    const CONNECTED: u8 = 1;
    /// Bytes of a `struct netlink_diag_msg`, and where its parts stand.
    const LEN: usize = 28;
    const STATE: usize = 3;
    const INODE: usize = 16;
    let mut request = vec![libc::AF_NETLINK as u8, ALL, 0, 0];
    for word in [0, SHOW_FLAGS, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    let mut all = HashMap::new();
    dump(request, &mut |told| {
        let Some((fixed, attributes)) = told.split_at_checked(LEN) else { return };
        let flags = attribute(attributes, FLAGS).map_or(0, |value| word(value, 0));
        let state = Netlink { connected: fixed[STATE] == CONNECTED, answers: flags & RUNNING != 0 };
        all.insert(word(fixed, INODE), state);
    })?;
    Ok(all)
}

/// State of a packet socket.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub memberships: Vec<PacketMembership>,
    /// It shares packets with others.
    pub shares: bool,
    /// It has a ring of packets in memory.
    pub has_ring: bool,
}

/// The packet sockets of our network namespace, by inode.
pub(crate) fn packets() -> Result<HashMap<u32, Packet>> {
    /// PACKET_SHOW_MCLIST, PACKET_SHOW_RING_CFG and PACKET_SHOW_FANOUT of linux/packet_diag.h, and what is told of them.
    const SHOW: u32 = 2 | 4 | 8;
    const MEMBERSHIPS: u16 = 1;
    const RINGS: [u16; 2] = [2, 3];
    const FANOUT: u16 = 4;
    /// Bytes of a `struct packet_diag_msg` and of a `struct packet_diag_mclist`, and where the inode stands.
    const LEN: usize = 16;
    const MEMBERSHIP: usize = 44;
    const INODE: usize = 4;
    let mut request = vec![libc::AF_PACKET as u8, 0, 0, 0];
    for word in [0, SHOW, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    let mut all = HashMap::new();
    dump(request, &mut |told| {
        let Some((fixed, attributes)) = told.split_at_checked(LEN) else { return };
        let memberships = attribute(attributes, MEMBERSHIPS).unwrap_or_default();
        let packet = Packet {
            memberships: memberships.chunks_exact(MEMBERSHIP).map(membership).collect(),
            shares: attribute(attributes, FANOUT).is_some(),
            has_ring: RINGS.iter().any(|ring| attribute(attributes, *ring).is_some()),
        };
        all.insert(word(fixed, INODE), packet);
    })?;
    Ok(all)
}

/// `struct packet_diag_mclist`: interface, count, kind, length of the address, the address.
fn membership(told: &[u8]) -> PacketMembership {
    let (kind, len) = (word(told, 8) & 0xffff, word(told, 8) >> 16);
    let address = told.get(12..12 + len as usize).unwrap_or_default();
    let (interface, count) = (word(told, 0), word(told, 4));
    PacketMembership { interface, kind, address: Bytes(address.to_vec()), count }
}

/// A message without its header.
struct Plain(Vec<u8>);

impl NetlinkSerializable for Plain {
    fn message_type(&self) -> u16 {
        BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        self.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

impl NetlinkDeserializable for Plain {
    type Error = Infallible;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> std::result::Result<Self, Infallible> {
        Ok(Plain(payload.to_vec()))
    }
}

/// Makes a request, and hands on each answer.
fn dump(request: Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    request_all(NLM_F_DUMP, Plain(request), &mut |told| each(&told.0))
}

/// The value of an attribute (`struct nlattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while bytes.len() >= 4 {
        let (len, kind) =
            (u16::from_ne_bytes([bytes[0], bytes[1]]), u16::from_ne_bytes([bytes[2], bytes[3]]));
        let value = bytes.get(4..usize::from(len))?;
        if kind == wanted {
            return Some(value);
        }
        bytes = bytes.get(usize::from(len).next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// A number at a place; 0 where there is none.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u32::from_ne_bytes)
}
