//! Sockets of the internet. A listener's connections that nobody has accepted yet end with it, since no call gives them to anybody else
//! than accept(2); datagrams on their way are lost, too.

use crate::{
    descriptor_of::{Descriptor, Problem},
    inet_options::{DATAGRAM, INET, TCP, TCP_FASTOPEN_CONNECT, UDP},
    object::{datagram_queue, tcp_connection},
    raw_peers,
    socket::options,
    socket_kind,
};
use floe_records::{Bytes, InetSocket};
use floe_sys::{Error, peer_name, socket_name, socket_option};
use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

/// First byte of `struct tcp_info`: states of include/net/tcp_states.h.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Whether it is an internet socket.
pub(crate) fn is_inet(kind: socket_kind::Kind) -> bool {
    matches!(kind.family, libc::AF_INET | libc::AF_INET6)
}

/// Whether an option is carried besides those of every socket, or does nothing to this kind of socket.
pub(crate) fn is_carried(kind: socket_kind::Kind, option: (i32, i32)) -> bool {
    let of = |list: &[_]| list.contains(&option);
    is_inet(kind) && (of(INET) || of(TCP) || of(UDP) || of(DATAGRAM) && is_other(kind))
}

/// Whether it carries messages and is none of UDP.
pub(crate) fn is_other(kind: socket_kind::Kind) -> bool {
    kind.kind == libc::SOCK_RAW
        || kind.kind == libc::SOCK_DGRAM && kind.protocol != libc::IPPROTO_UDP
}

/// Whether it is one of TCP.
pub(crate) fn is_tcp(kind: socket_kind::Kind) -> bool {
    is_inet(kind) && (kind.kind, kind.protocol) == (libc::SOCK_STREAM, libc::IPPROTO_TCP)
}

/// Whether it is one of Multipath TCP.
pub(crate) fn is_mptcp(kind: socket_kind::Kind) -> bool {
    is_inet(kind) && (kind.kind, kind.protocol) == (libc::SOCK_STREAM, libc::IPPROTO_MPTCP)
}

/// Whether a descriptor is an internet socket of this type and protocol.
pub(crate) fn is(seen: &Descriptor<'_>, kind: i32, protocol: i32) -> bool {
    seen.socket()
        .filter(|it| is_inet(*it))
        .is_some_and(|it| (it.kind, it.protocol) == (kind, protocol))
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
            tcp_connection::signatures(seen, true)?;
        }
        Some(&CLOSE) if has_ended(fd)? => {
            end(&mut socket);
            // It still shows the address that it had, also where it has given up the port.
            let (family, ino) = (socket.family, socket.ino);
            let bound = || seen.in_network(|all| all.inet.is_bound(family, ino));
            if seen.context.taking && !bound()? {
                socket.name = Bytes::default();
            }
        }
        Some(&CLOSE) => {}
        _ if seen.context.options.close_tcp => {
            socket.name = Bytes::default();
            end(&mut socket);
        }
        _ => {
            let state = info.first().copied().unwrap_or(0);
            tcp_connection::look(seen, fd, state)?;
            forget(&mut socket, &OF_CONNECTIONS);
            forget(&mut socket, &[TCP_FASTOPEN_CONNECT]);
            socket.peer = Bytes(peer_name(fd)?);
            socket.shutdown = tcp_connection::shutdown(fd, state)?;
        }
    }
    Ok(socket)
}

/// A socket of Multipath TCP. What it says of TCP is of its first connection, or of its listener.
pub(crate) fn mptcp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (mut socket, fd) = described(seen, TCP)?;
    let refuse = || {
        let problem = "a connection of Multipath TCP cannot be captured";
        Err(Problem::Refused("file.tcp", problem.into(), "try again when it has been closed"))
    };
    // One that was connected may have none left.
    let Ok(info) = socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104) else {
        return refuse();
    };
    match info.first() {
        Some(&LISTEN) => {
            let backlog = info.get(28..32).and_then(|b| b.try_into().ok());
            socket.backlog = backlog.map(u32::from_ne_bytes);
        }
        Some(&CLOSE) if !has_ended(fd)? => {}
        _ => return refuse(),
    }
    Ok(socket)
}

/// Options whose values are those of a connection: TCP_MAXSEG, TCP_WINDOW_CLAMP.
const OF_CONNECTIONS: [i32; 2] = [libc::TCP_MAXSEG, libc::TCP_WINDOW_CLAMP];

/// Leaves out options of TCP.
fn forget(socket: &mut InetSocket, names: &[i32]) {
    socket.options.retain(|o| o.level != libc::IPPROTO_TCP || !names.contains(&o.name));
}

/// A connection that has ended: options whose values were those of the connection are none of the socket.
fn end(socket: &mut InetSocket) {
    forget(socket, &OF_CONNECTIONS);
    socket.shutdown = BOTH;
}

/// A UDP socket.
pub(crate) fn udp(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (mut socket, fd) = described(seen, UDP)?;
    holds_back(fd, socket_kind::number(fd, libc::IPPROTO_UDP, libc::UDP_CORK)? != 0)?;
    socket.peer = Bytes(peer_name(fd)?);
    socket.shutdown = shutdown_of_messages(seen, fd, &socket, libc::IPPROTO_UDP)?;
    Ok(socket)
}

/// RCV_SHUTDOWN and SEND_SHUTDOWN of a socket that carries messages.
fn shutdown_of_messages(
    seen: &Descriptor<'_>,
    fd: BorrowedFd<'_>,
    socket: &InetSocket,
    protocol: i32,
) -> Result<u8, Problem> {
    let there = poll_now(fd)?;
    Ok(match there {
        _ if there & libc::POLLHUP != 0 => BOTH,
        _ if there & libc::POLLRDHUP != 0 => 1,
        // What it may not send is told by sock_diag(7) alone, which knows no raw sockets and none of ICMP.
        _ if seen.context.taking => {
            seen.in_network(|all| all.inet.shutdown(protocol, socket.family, socket.ino))?
        }
        _ => 0,
    })
}

/// A part of a datagram that waits for the rest of it shows as something that has not been sent. What has been sent and waits in the
/// queue of a device does so, too, and goes.
fn holds_back(fd: BorrowedFd<'_>, corked: bool) -> Result<(), Problem> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        if unsent(fd)? == 0 {
            return Ok(());
        }
        if corked {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let problem = match corked {
        true => "it holds back a part of a datagram (UDP_CORK)",
        false => "it holds back a part of a datagram (MSG_MORE), or cannot send one",
    };
    Err(Problem::Refused("file.udp", problem.into(), "try again when the datagram has been sent"))
}

/// As SIOCOUTQ tells of sockets of UDP; those of ICMP have no such call.
fn unsent(fd: BorrowedFd<'_>) -> Result<u32, Problem> {
    const SO_MEMINFO: i32 = 55;
    const SENT: usize = 2 * 4;
    let info = socket_option(fd, libc::SOL_SOCKET, SO_MEMINFO, 64)?;
    let word = info.get(SENT..).and_then(|bytes| bytes.first_chunk().copied());
    let none = || Error::because("ask what is not sent", "the kernel does not tell");
    Ok(u32::from_ne_bytes(word.ok_or_else(none)?))
}

/// A socket that carries messages and is none of UDP.
pub(crate) fn datagram(seen: &Descriptor<'_>) -> Result<InetSocket, Problem> {
    let (mut socket, fd) = described(seen, DATAGRAM)?;
    let kind = seen.socket();
    let raw = kind.is_some_and(|kind| kind.kind == libc::SOCK_RAW);
    let corked =
        !raw && socket_kind::number(fd, libc::IPPROTO_UDP, libc::UDP_CORK).unwrap_or(0) != 0;
    if !raw || socket_kind::number(fd, libc::IPPROTO_IP, libc::IP_HDRINCL).unwrap_or(0) == 0 {
        holds_back(fd, corked)?;
    }
    socket.peer = Bytes(peer_name(fd)?);
    if socket.peer.0.is_empty() && seen.context.taking {
        let (family, ino) = (socket.family, socket.ino);
        socket.peer = Bytes(seen.in_network(|_| raw_peers::find(family, ino))?);
    }
    let protocol = kind.filter(|_| !raw).map_or(0, |kind| kind.protocol);
    socket.shutdown = shutdown_of_messages(seen, fd, &socket, protocol)?;
    Ok(socket)
}

/// What nobody has read yet of a socket that carries messages and cannot be carried, in words. Its error cannot be asked for without
/// taking it.
pub(crate) fn lost_of_messages(
    fd: BorrowedFd<'_>,
    kind: socket_kind::Kind,
) -> crate::Result<Vec<String>> {
    let there = floe_sys::poll(fd, libc::POLLIN | libc::POLLRDHUP, Some(Duration::ZERO));
    let there = there.map_err(|e| Error::new("look at a socket", e))?;
    let mut lost = Vec::new();
    let loses = match datagram_queue::is_carried(kind) {
        true => datagram_queue::loses(fd)?,
        false => there & (libc::POLLIN | libc::POLLRDHUP) == libc::POLLIN,
    };
    if loses {
        lost.push("messages in it that nobody has read are not carried".to_owned());
    }
    if there & libc::POLLERR != 0 {
        lost.push("its errors (SO_ERROR, MSG_ERRQUEUE) are not carried".to_owned());
    }
    Ok(lost)
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
            let kind = socket_kind::kind(fd.as_fd())?;
            if is_tcp(kind) || is_mptcp(kind) {
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

/// What is not carried of a TCP connection, in words. `closed`: one that has not ended will be closed; `bound` says of one that has
/// ended whether it still has its port. Its error cannot be asked for without taking it.
pub(crate) fn lost_of_connection(
    fd: BorrowedFd<'_>,
    closed: bool,
    bound: impl FnOnce() -> Result<bool, Error>,
) -> crate::Result<Vec<String>> {
    let info = socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 104)?;
    let doing = "look at a socket";
    let there = floe_sys::poll(fd, libc::POLLRDHUP, Some(Duration::ZERO));
    let there = there.map_err(|e| Error::new(doing, e))?;
    let state = info.first().copied().unwrap_or(0);
    if ![CLOSE, LISTEN].contains(&state) {
        return Ok(if closed { Vec::new() } else { tcp_connection::lost(&info, there) });
    }
    // tcpi_unacked of a listener is how many connections wait (tcp_get_info in net/ipv4/tcp.c).
    let waiting = info.get(24..28).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    match waiting.filter(|_| state == LISTEN) {
        Some(1) => return Ok(vec!["a connection that waits for accept(2) is not carried".into()]),
        Some(many @ 2..) => {
            return Ok(vec![format!("{many} connections that wait for accept(2) are not carried")]);
        }
        _ => {}
    }
    if state != CLOSE || there & libc::POLLRDHUP == 0 {
        return Ok(Vec::new());
    }
    let mut lost = Vec::new();
    let unread = floe_sys::pipe_queued(fd).map_err(|e| Error::new(doing, e))?;
    if unread > 0 {
        lost.push(format!(
            "its connection has ended: {unread} bytes that nobody has read are not carried"
        ));
    }
    if there & libc::POLLERR != 0 {
        lost.push("its connection has ended: its error (SO_ERROR) is not carried".to_owned());
    }
    if !bound()? {
        lost.push("its connection has ended: the address that it had is not carried".to_owned());
    }
    Ok(lost)
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
