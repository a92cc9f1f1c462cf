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
pub(crate) const LEVEL: i32 = 263;
/// What is carried: PACKET_COPY_THRESH, PACKET_AUXDATA, PACKET_ORIGDEV, PACKET_VERSION, PACKET_RESERVE, PACKET_LOSS,
/// PACKET_VNET_HDR, PACKET_TIMESTAMP, PACKET_TX_HAS_OFF, PACKET_QDISC_BYPASS, PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR_SZ.
const OPTIONS: [(i32, i32); 12] = [
    (LEVEL, 7),
    (LEVEL, 8),
    (LEVEL, 9),
    (LEVEL, 10),
    (LEVEL, 12),
    (LEVEL, 14),
    (LEVEL, 15),
    (LEVEL, 17),
    (LEVEL, 19),
    (LEVEL, 20),
    (LEVEL, 23),
    (LEVEL, 24),
];
/// PACKET_STATISTICS, which is cleared by being asked for, PACKET_HDRLEN, PACKET_FANOUT, PACKET_ROLLOVER_STATS.
const NO_SETTINGS: [i32; 4] = [6, 11, 18, 21];
const PACKET_FANOUT: i32 = 18;
/// Types of PACKET_FANOUT that have a program.
const PROGRAMS: [u32; 2] = [6, 7];

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
        let state = seen.context.inet.packet(seen.stat.ino)?;
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
            true => Some(number(seen.duplicate()?, LEVEL, PACKET_FANOUT)? as u32),
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
