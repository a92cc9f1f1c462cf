//! TCP and UDP sockets. A listener's connections that nobody has accepted yet end with it, as do datagrams on
//! their way; an established connection can only be captured as one that has ended.

use crate::{
    descriptor_of::{Descriptor, Problem},
    socket::{self, options},
};
use floe_records::{Bytes, InetSocket, SocketOption};
use floe_sys::{Error, peer_name, socket_name, socket_option};
use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// First byte of `struct tcp_info`: states of include/net/tcp_states.h.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Whether a descriptor is an internet socket of this type and protocol.
pub(crate) fn is(seen: &Descriptor<'_>, kind: i32, protocol: i32) -> bool {
    let inet = |it: &socket::Kind| matches!(it.family, libc::AF_INET | libc::AF_INET6);
    seen.socket().filter(inet).is_some_and(|it| (it.kind, it.protocol) == (kind, protocol))
}

/// A TCP socket.
pub(crate) fn tcp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (mut socket, fd) = described(seen, TCP)?;
    // tcpi_sacked of a listener is its backlog (tcp_get_info in net/ipv4/tcp.c).
    let info = socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104)?;
    match info.first() {
        Some(&LISTEN) => {
            let backlog = info.get(28..32).and_then(|b| b.try_into().ok());
            socket.backlog = backlog.map(u32::from_ne_bytes);
        }
        Some(&CLOSE) if has_ended(fd)? => {
            end(&mut socket);
            // It still shows the address that it had, also where it has given up the port.
            if seen.context.taking && !seen.context.inet.is_bound(socket.family, socket.ino)? {
                socket.name = Bytes::default();
            }
        }
        Some(&CLOSE) => {}
        _ if seen.context.options.close_tcp => {
            socket.name = Bytes::default();
            end(&mut socket);
        }
        _ => {
            let hint = "close the connection, or have it restored as closed with --close-tcp";
            let problem = "an established TCP connection cannot be captured";
            return Err(Problem::Refused("file.tcp", problem.into(), hint));
        }
    }
    Ok(socket)
}

/// A connection that has ended: options whose values were those of the connection are none of the socket.
fn end(socket: &mut InetSocket) {
    const OF_CONNECTIONS: [i32; 2] = [libc::TCP_MAXSEG, libc::TCP_WINDOW_CLAMP];
    let own = |o: &SocketOption| o.level != libc::IPPROTO_TCP || !OF_CONNECTIONS.contains(&o.name);
    socket.options.retain(own);
    socket.shutdown = BOTH;
}

/// A UDP socket.
pub(crate) fn udp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (mut socket, fd) = described(seen, UDP)?;
    let corked = socket::number(fd, libc::IPPROTO_UDP, libc::UDP_CORK)? != 0;
    if corked && floe_sys::unsent(fd).map_err(|e| Error::new("ask what is not sent", e))? > 0 {
        let hint = "try again when the datagram has been sent";
        let problem = "it holds back a part of a datagram (UDP_CORK)";
        return Err(Problem::Refused("file.udp", problem.into(), hint));
    }
    socket.peer = Bytes(peer_name(fd)?);
    let there = poll_now(fd)?;
    socket.shutdown = match there {
        _ if there & libc::POLLHUP != 0 => BOTH,
        _ if there & libc::POLLRDHUP != 0 => 1,
        // What it may not send is told by sock_diag(7) alone.
        _ if seen.context.taking => seen.context.inet.shutdown(socket.family, socket.ino)?,
        _ => 0,
    };
    Ok(socket)
}

/// Has the ports of TCP connections free for who sets SO_REUSEADDR as soon as the processes are dead: what lingers of a connection
/// keeps its port from all others for a minute. The processes are about to be killed.
pub fn release_ports(pids: impl Iterator<Item = u32>) -> crate::Result<()> {
    for pid in pids {
        let (pidfd, all) = (floe_sys::pidfd_open(pid as i32)?, floe_proc::Descriptors::of(pid)?);
        for number in all.numbers()? {
            if !all.link(number)?.starts_with(b"socket:") {
                continue;
            }
            let fd = floe_sys::pidfd_getfd(pidfd.as_fd(), number as i32)?;
            let kind = socket::kind(fd.as_fd())?;
            if kind.protocol == libc::IPPROTO_TCP {
                let on = 1i32.to_ne_bytes();
                let (level, name) = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
                floe_sys::set_socket_option(fd.as_fd(), level, name, &on)?;
            }
        }
    }
    Ok(())
}

/// What both have.
fn described<'a>(
    seen: &'a Descriptor<'_>,
    list: &[(i32, i32)],
) -> Result<(InetSocket, BorrowedFd<'a>), Problem> {
    let family = seen.socket().map_or(0, |kind| kind.family as u32);
    let fd = seen.duplicate()?;
    let name = bound(socket_name(fd)?);
    let list: Vec<(i32, i32)> = INET.iter().chain(list).copied().collect();
    let socket = InetSocket {
        ino: seen.stat.ino,
        family,
        foreign: seen.context.taking && is_foreign(family, &name)?,
        name,
        peer: Bytes::default(),
        backlog: None,
        shutdown: 0,
        options: options(seen, &list)?,
    };
    Ok((socket, fd))
}

/// RCV_SHUTDOWN and SEND_SHUTDOWN.
const BOTH: u8 = 3;

fn poll_now(fd: BorrowedFd<'_>) -> Result<i16, Problem> {
    let there = floe_sys::poll(fd, libc::POLLRDHUP, Some(Duration::ZERO));
    Ok(there.map_err(|e| Error::new("look at a socket", e))?)
}

/// Whether a TCP socket that is closed was once connected.
fn has_ended(fd: BorrowedFd<'_>) -> Result<bool, Problem> {
    Ok(poll_now(fd)? & libc::POLLRDHUP != 0)
}

/// Port and address of a socket that has either.
fn bound(name: Vec<u8>) -> Bytes {
    let address = if name.len() > 16 { name.get(8..24) } else { name.get(4..8) };
    let any = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0));
    Bytes(if any(name.get(2..4)) || any(address) { name } else { Vec::new() })
}

/// Whether nobody could bind to an address here without IP_FREEBIND or IP_TRANSPARENT. That a socket had one of them when it was
/// bound cannot be read.
fn is_foreign(family: u32, name: &Bytes) -> Result<bool, Problem> {
    if name.0.is_empty() {
        return Ok(false);
    }
    let mut address = name.0.clone();
    address[2..4].fill(0);
    let probe = floe_sys::socket(family as i32, libc::SOCK_DGRAM, 0)?;
    match floe_sys::bind_raw(probe.as_fd(), &address) {
        Ok(()) => Ok(false),
        Err(e) if e.errno() == Some(libc::EADDRNOTAVAIL) => Ok(true),
        // Another obstacle will show again.
        Err(_) => Ok(false),
    }
}

const IP: i32 = libc::IPPROTO_IP;
const IP6: i32 = libc::IPPROTO_IPV6;

/// What TCP and UDP sockets of both families share; IPv6 sockets have those of IPv4 too.
const INET: &[(i32, i32)] = &[
    (IP6, libc::IPV6_V6ONLY),
    (IP, libc::IP_TOS),
    (IP, libc::IP_TTL),
    (IP, libc::IP_OPTIONS),
    (IP, libc::IP_RECVOPTS),
    (IP, libc::IP_RETOPTS),
    (IP, libc::IP_PKTINFO),
    (IP, libc::IP_MTU_DISCOVER),
    (IP, libc::IP_RECVERR),
    (IP, libc::IP_RECVTTL),
    (IP, libc::IP_RECVTOS),
    (IP, libc::IP_FREEBIND),
    (IP, libc::IP_PASSSEC),
    (IP, libc::IP_TRANSPARENT),
    (IP, libc::IP_ORIGDSTADDR),
    (IP, libc::IP_MINTTL),
    (IP, IP_CHECKSUM),
    (IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (IP, IP_RECVFRAGSIZE),
    (IP, IP_RECVERR_RFC4884),
    (IP, libc::IP_MULTICAST_LOOP),
    (IP, IP_MULTICAST_ALL),
    (IP, libc::IP_UNICAST_IF),
    (IP, IP_LOCAL_PORT_RANGE),
    (IP6, IPV6_2292PKTINFO),
    (IP6, IPV6_2292HOPOPTS),
    (IP6, IPV6_2292DSTOPTS),
    (IP6, IPV6_2292RTHDR),
    (IP6, IPV6_2292HOPLIMIT),
    (IP6, IPV6_FLOWINFO),
    (IP6, libc::IPV6_UNICAST_HOPS),
    (IP6, libc::IPV6_MULTICAST_LOOP),
    (IP6, libc::IPV6_MTU_DISCOVER),
    (IP6, libc::IPV6_RECVERR),
    (IP6, IPV6_MULTICAST_ALL),
    (IP6, IPV6_RECVERR_RFC4884),
    (IP6, IPV6_FLOWINFO_SEND),
    (IP6, libc::IPV6_RECVPKTINFO),
    (IP6, libc::IPV6_RECVHOPLIMIT),
    (IP6, libc::IPV6_RECVHOPOPTS),
    (IP6, libc::IPV6_RECVRTHDR),
    (IP6, libc::IPV6_RECVDSTOPTS),
    (IP6, libc::IPV6_RECVPATHMTU),
    (IP6, libc::IPV6_DONTFRAG),
    (IP6, libc::IPV6_RECVTCLASS),
    (IP6, libc::IPV6_TCLASS),
    (IP6, IPV6_AUTOFLOWLABEL),
    (IP6, libc::IPV6_ADDR_PREFERENCES),
    (IP6, libc::IPV6_MINHOPCOUNT),
    (IP6, libc::IPV6_ORIGDSTADDR),
    (IP6, libc::IPV6_TRANSPARENT),
    (IP6, IPV6_UNICAST_IF),
    (IP6, IPV6_RECVFRAGSIZE),
    (IP6, IPV6_FREEBIND),
];

// Of include/uapi/linux/in.h and in6.h.
const IP_CHECKSUM: i32 = 23;
const IP_RECVFRAGSIZE: i32 = 25;
const IP_RECVERR_RFC4884: i32 = 26;
const IP_MULTICAST_ALL: i32 = 49;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPOPTS: i32 = 3;
const IPV6_2292DSTOPTS: i32 = 4;
const IPV6_2292RTHDR: i32 = 5;
const IPV6_2292HOPLIMIT: i32 = 8;
const IPV6_FLOWINFO: i32 = 11;
const IPV6_MULTICAST_ALL: i32 = 29;
const IPV6_RECVERR_RFC4884: i32 = 31;
const IPV6_FLOWINFO_SEND: i32 = 33;
const IPV6_AUTOFLOWLABEL: i32 = 70;
const IPV6_UNICAST_IF: i32 = 76;
const IPV6_RECVFRAGSIZE: i32 = 77;
const IPV6_FREEBIND: i32 = 78;

const TCP: &[(i32, i32)] = &[
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
    (libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS),
    (libc::IPPROTO_TCP, libc::TCP_THIN_DUPACK),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
    (libc::IPPROTO_TCP, libc::TCP_SAVE_SYN),
    (libc::IPPROTO_TCP, TCP_FASTOPEN_CONNECT),
    (libc::IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE),
    (libc::IPPROTO_TCP, TCP_INQ),
    (libc::IPPROTO_TCP, TCP_TX_DELAY),
    (libc::IPPROTO_TCP, TCP_RTO_MAX_MS),
    (libc::IPPROTO_TCP, TCP_RTO_MIN_US),
    (libc::IPPROTO_TCP, TCP_DELACK_MAX_US),
];

// Of include/uapi/linux/tcp.h.
const TCP_FASTOPEN_CONNECT: i32 = 30;
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
const TCP_INQ: i32 = 36;
const TCP_TX_DELAY: i32 = 37;
const TCP_RTO_MAX_MS: i32 = 44;
const TCP_RTO_MIN_US: i32 = 45;
const TCP_DELACK_MAX_US: i32 = 46;

const UDP: &[(i32, i32)] = &[
    // Streams show them as well, and refuse to set them.
    (IP, libc::IP_MULTICAST_IF),
    (IP, libc::IP_MULTICAST_TTL),
    (IP6, libc::IPV6_MULTICAST_IF),
    (IP6, libc::IPV6_MULTICAST_HOPS),
    (libc::IPPROTO_UDP, libc::UDP_CORK),
    (libc::IPPROTO_UDP, UDP_ENCAP),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_TX),
    (libc::IPPROTO_UDP, UDP_NO_CHECK6_RX),
    (libc::IPPROTO_UDP, libc::UDP_SEGMENT),
    (libc::IPPROTO_UDP, libc::UDP_GRO),
];

// Of include/uapi/linux/udp.h.
const UDP_ENCAP: i32 = 100;
const UDP_NO_CHECK6_TX: i32 = 101;
const UDP_NO_CHECK6_RX: i32 = 102;
