//! TCP and UDP sockets. A listener's connections that nobody has accepted yet end with it, as do datagrams on
//! their way; an established connection can only be captured as a closed one.

use crate::{
    descriptor_of::{Descriptor, Problem},
    socket::{self, options},
};
use floe_records::{Bytes, InetSocket};
use floe_sys::{peer_name, socket_name, socket_option};
use std::os::fd::BorrowedFd;

/// First byte of `struct tcp_info`: states of include/net/tcp_states.h.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Whether it is an internet socket.
pub(crate) fn is_inet(kind: socket::Kind) -> bool {
    matches!(kind.family, libc::AF_INET | libc::AF_INET6)
}

/// Level and name of the options that are carried besides those of every socket.
pub(crate) fn carried(kind: socket::Kind) -> &'static [(i32, i32)] {
    match kind.protocol {
        _ if !is_inet(kind) => &[],
        libc::IPPROTO_TCP => TCP,
        _ => UDP,
    }
}

/// Whether a descriptor is an internet socket of this type and protocol.
pub(crate) fn is(seen: &Descriptor<'_>, kind: i32, protocol: i32) -> bool {
    seen.socket()
        .filter(|it| is_inet(*it))
        .is_some_and(|it| (it.kind, it.protocol) == (kind, protocol))
}

/// A TCP socket.
pub(crate) fn tcp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (ino, family, fd) = basics(seen)?;
    // tcpi_sacked of a listener is its backlog (tcp_get_info in net/ipv4/tcp.c).
    let info = socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104)?;
    let peer = Bytes::default();
    let backlog = match info.first() {
        Some(&LISTEN) => info.get(28..32).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes),
        Some(&CLOSE) => None,
        _ if seen.context.options.close_tcp => {
            let (name, options) = (Bytes::default(), options(seen, TCP)?);
            return Ok(InetSocket { ino, family, name, peer, backlog: None, options });
        }
        _ => {
            let hint = "close the connection, or have it restored as closed with --close-tcp";
            let problem = "an established TCP connection cannot be captured";
            return Err(Problem::Refused("file.tcp", problem.into(), hint));
        }
    };
    let (name, options) = (bound(socket_name(fd)?), options(seen, TCP)?);
    Ok(InetSocket { ino, family, name, peer, backlog, options })
}

/// A UDP socket.
pub(crate) fn udp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (ino, family, fd) = basics(seen)?;
    let (name, peer) = (bound(socket_name(fd)?), Bytes(peer_name(fd)?));
    Ok(InetSocket { ino, family, name, peer, backlog: None, options: options(seen, UDP)? })
}

fn basics<'a>(seen: &'a Descriptor<'_>) -> Result<(u64, u32, BorrowedFd<'a>), Problem> {
    let family = seen.socket().map_or(0, |kind| kind.family as u32);
    Ok((seen.stat.ino, family, seen.duplicate()?))
}

/// A socket without a port is not bound.
fn bound(name: Vec<u8>) -> Bytes {
    Bytes(if name.get(2..4).is_some_and(|port| port != [0, 0]) { name } else { Vec::new() })
}

const IP: i32 = libc::IPPROTO_IP;
const IP6: i32 = libc::IPPROTO_IPV6;

const TCP: &[(i32, i32)] = &[
    (IP6, libc::IPV6_V6ONLY),
    (IP, libc::IP_TOS),
    (IP, libc::IP_TTL),
    (IP, libc::IP_FREEBIND),
    (IP, libc::IP_TRANSPARENT),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (IP, libc::IP_MTU_DISCOVER),
    (IP6, libc::IPV6_UNICAST_HOPS),
    (IP6, libc::IPV6_MTU_DISCOVER),
    (IP6, libc::IPV6_TCLASS),
];

const UDP: &[(i32, i32)] = &[
    (IP6, libc::IPV6_V6ONLY),
    (IP, libc::IP_TOS),
    (IP, libc::IP_TTL),
    (IP, libc::IP_FREEBIND),
    (IP, libc::IP_TRANSPARENT),
    (IP, libc::IP_PKTINFO),
    (IP6, libc::IPV6_RECVPKTINFO),
    (IP, libc::IP_MULTICAST_TTL),
    (IP, libc::IP_MULTICAST_LOOP),
    (IP, libc::IP_MTU_DISCOVER),
    (IP, libc::IP_RECVERR),
    (IP, libc::IP_RECVTTL),
    (IP, libc::IP_RECVTOS),
    (IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (IP6, libc::IPV6_UNICAST_HOPS),
    (IP6, libc::IPV6_MULTICAST_HOPS),
    (IP6, libc::IPV6_MULTICAST_LOOP),
    (IP6, libc::IPV6_MTU_DISCOVER),
    (IP6, libc::IPV6_RECVERR),
    (IP6, libc::IPV6_RECVHOPLIMIT),
    (IP6, libc::IPV6_RECVTCLASS),
    (IP6, libc::IPV6_TCLASS),
];
