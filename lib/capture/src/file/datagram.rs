//! Sockets of the internet that carry messages and are none of UDP: raw ones, those of ICMP, and UDP-Lite.

use crate::{
    descriptor_of::{Descriptor, Problem},
    inet,
    resource::OfFile,
    socket_kind::Kind,
};
use floe_records::{DatagramSocket, FileId};

/// Protocols of SOCK_DGRAM beside UDP.
const PROTOCOLS: [i32; 3] = [libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6, libc::IPPROTO_UDPLITE];

impl OfFile for DatagramSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.socket().filter(|kind| inet::is_inet(*kind)).is_some_and(|kind| match kind.kind {
            libc::SOCK_RAW => (0..=255).contains(&kind.protocol),
            libc::SOCK_DGRAM => PROTOCOLS.contains(&kind.protocol),
            _ => false,
        })
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new("file.socket", "its kind cannot be read");
        let Kind { kind, protocol, .. } = seen.socket().ok_or_else(unknown)?;
        let socket = inet::datagram(seen)?;
        Ok(DatagramSocket { file, sock_type: kind as u32, protocol: protocol as u32, socket })
    }
}
