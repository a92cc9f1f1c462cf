//! Packet sockets.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
    socket::options,
    socket_kind::{Kind, number},
};
use floe_records::{FileId, PacketSocket};
use floe_sys::socket_name;

/// Level of packet(7).
pub(crate) const LEVEL: i32 = libc::SOL_PACKET;
/// What is carried.
const OPTIONS: [(i32, i32); 12] = [
    (LEVEL, libc::PACKET_COPY_THRESH),
    (LEVEL, libc::PACKET_AUXDATA),
    (LEVEL, libc::PACKET_ORIGDEV),
    (LEVEL, libc::PACKET_VERSION),
    (LEVEL, libc::PACKET_RESERVE),
    (LEVEL, libc::PACKET_LOSS),
    (LEVEL, libc::PACKET_VNET_HDR),
    (LEVEL, libc::PACKET_TIMESTAMP),
    (LEVEL, libc::PACKET_TX_HAS_OFF),
    (LEVEL, libc::PACKET_QDISC_BYPASS),
    (LEVEL, libc::PACKET_IGNORE_OUTGOING),
    (LEVEL, libc::PACKET_VNET_HDR_SZ),
];
/// What is none, or is carried otherwise. PACKET_STATISTICS is cleared by being asked for.
const NO_SETTINGS: [i32; 4] = [
    libc::PACKET_STATISTICS,
    libc::PACKET_HDRLEN,
    libc::PACKET_FANOUT,
    libc::PACKET_ROLLOVER_STATS,
];
/// Types of PACKET_FANOUT that have a program.
const PROGRAMS: [u32; 2] = [libc::PACKET_FANOUT_CBPF, libc::PACKET_FANOUT_EBPF];

impl OfFile for PacketSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let types = [libc::SOCK_RAW, libc::SOCK_DGRAM];
        seen.socket()
            .is_some_and(|kind| kind.family == libc::AF_PACKET && types.contains(&kind.kind))
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let refuse = |what: &str| Problem::new("file.packet", what);
        let Kind { kind, .. } = seen.socket().ok_or_else(|| refuse("its kind cannot be read"))?;
        let name = socket_name(seen.duplicate()?)?;
        // `struct sockaddr_ll`: family, protocol in the order of the network, interface.
        let part = |at: usize| name.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        let protocol = part(2).map_or(0, u16::from_be_bytes);
        let interface = name.get(4..8).and_then(|bytes| bytes.try_into().ok());
        let interface = interface.map_or(0, i32::from_ne_bytes);
        let ino = seen.stat.ino;
        let state = seen.in_network(|all| all.inet.packet(ino))?;
        let state = state.ok_or_else(|| refuse("sock_diag does not know it"))?;
        if state.has_ring {
            return Err(refuse(
                "a ring of packets (PACKET_RX_RING, PACKET_TX_RING) cannot be captured",
            ));
        }
        let interface = u32::try_from(interface)
            .map_err(|_| refuse("the interface that it was bound to is there no more"))?;
        // sock_diag does not tell of its flags.
        let fanout = match state.shares {
            true => Some(number(seen.duplicate()?, LEVEL, libc::PACKET_FANOUT)? as u32),
            false => None,
        };
        let socket = PacketSocket {
            file,
            sock_type: kind as u32,
            protocol: u32::from(protocol),
            interface,
            memberships: state.memberships,
            fanout,
            options: options(seen, &OPTIONS)?,
        };
        if socket.fanout_type().is_some_and(|it| PROGRAMS.contains(&it)) {
            return Err(refuse("the program of its group (PACKET_FANOUT) cannot be read"));
        }
        Ok(socket)
    }
}

/// Whether an option is carried, or is none.
pub(crate) fn is_carried(option: (i32, i32)) -> bool {
    OPTIONS.contains(&option) || option.0 == LEVEL && NO_SETTINGS.contains(&option.1)
}
