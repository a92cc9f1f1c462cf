//! TCP and UDP sockets. A listener's connections that nobody has accepted yet end with it, as do datagrams on
//! their way; an established connection can only be captured as a closed one.

use super::sockets::{Problem, options};
use floe_records::{Bytes, InetSocket};
use floe_sys::{peer_name, socket_name, socket_option};
use std::os::fd::BorrowedFd;

/// First byte of `struct tcp_info`: states of include/net/tcp_states.h.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

pub(super) fn tcp(
    ino: u64,
    fd: BorrowedFd<'_>,
    family: u32,
    close: bool,
) -> Result<InetSocket, Problem> {
    let fail = |e: floe_sys::Error| (e.to_string(), "");
    // tcpi_sacked of a listener is its backlog (tcp_get_info in net/ipv4/tcp.c).
    let info = socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104).map_err(fail)?;
    let backlog = match info.first() {
        Some(&LISTEN) => info.get(28..32).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes),
        Some(&CLOSE) => None,
        _ if close => {
            let options = options(fd, TCP);
            let (name, peer) = (Bytes::default(), Bytes::default());
            return Ok(InetSocket { ino, family, name, peer, backlog: None, options });
        }
        _ => {
            let hint = "close the connection, or have it restored as closed with --close-tcp";
            return Err(("an established TCP connection cannot be captured".into(), hint));
        }
    };
    let name = bound(socket_name(fd).map_err(fail)?);
    let options = options(fd, TCP);
    Ok(InetSocket { ino, family, name, peer: Bytes::default(), backlog, options })
}

pub(super) fn udp(ino: u64, fd: BorrowedFd<'_>, family: u32) -> Result<InetSocket, Problem> {
    let fail = |e: floe_sys::Error| (e.to_string(), "");
    let name = bound(socket_name(fd).map_err(fail)?);
    let peer = Bytes(peer_name(fd).map_err(fail)?);
    Ok(InetSocket { ino, family, name, peer, backlog: None, options: options(fd, UDP) })
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
