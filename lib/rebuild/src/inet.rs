//! What TCP and UDP sockets share.

use crate::socket::{IS_SET, option, set_inet_options, shut};
use floe_records::{Bytes, InetSocket};
use floe_sys::{Result, bind_raw, connect_raw, listen, socket};
use std::os::fd::{AsFd, OwnedFd};

/// SO_REUSEADDR.
const REUSE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// Also of IPv6 sockets.
const FREEBIND: (i32, i32) = (libc::IPPROTO_IP, libc::IP_FREEBIND);

/// A TCP socket, and what could not be set of it. Connections that have just been closed keep the port busy for a listener that does not say so, and others of
/// the tree may have it too: so SO_REUSEADDR is set; see [`settle`].
pub(crate) fn tcp(tcp: &InetSocket) -> Result<(OwnedFd, Vec<String>)> {
    let fd = socket(tcp.family as i32, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    let notes = set_inet_options(&fd, &tcp.options)?;
    if !tcp.name.0.is_empty() {
        option(&fd, REUSE, &IS_SET)?;
        bind(&fd, tcp)?;
        if let Some(backlog) = tcp.backlog {
            listen(fd.as_fd(), backlog).map_err(|e| address(tcp, e))?;
        }
    }
    shut(&fd, tcp.shutdown)?;
    Ok((fd, notes))
}

/// A UDP socket, and what could not be set of it; `shares` says that others of the tree have its port.
pub(crate) fn udp(udp: &InetSocket, shares: bool) -> Result<(OwnedFd, Vec<String>)> {
    let fd = socket(udp.family as i32, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?;
    let notes = set_inet_options(&fd, &udp.options)?;
    if !udp.name.0.is_empty() {
        if shares {
            option(&fd, REUSE, &IS_SET)?;
        }
        bind(&fd, udp)?;
    }
    if !udp.peer.0.is_empty() {
        connect_raw(fd.as_fd(), &udp.peer.0)?;
    }
    shut(&fd, udp.shutdown)?;
    Ok((fd, notes))
}

/// All are bound: SO_REUSEADDR as it was.
pub(crate) fn settle(socket: &InetSocket, fd: &OwnedFd) -> Result<()> {
    let was = socket.options.iter().find(|o| (o.level, o.name) == REUSE);
    option(fd, REUSE, was.map_or(&[0; 4], |o| &o.value.0))
}

/// The port of an address.
pub(crate) fn port(name: &Bytes) -> Option<[u8; 2]> {
    name.0.get(2..4).and_then(|port| port.try_into().ok())
}

fn bind(fd: &OwnedFd, it: &InetSocket) -> Result<()> {
    if it.foreign {
        option(fd, FREEBIND, &IS_SET)?;
    }
    bind_raw(fd.as_fd(), &it.name.0).map_err(|e| address(it, e))?;
    if it.foreign {
        let was = it.options.iter().find(|o| (o.level, o.name) == FREEBIND);
        option(fd, FREEBIND, was.map_or(&[0; 4], |o| &o.value.0))?;
    }
    Ok(())
}

/// Names the address in an error.
fn address(socket: &InetSocket, error: floe_sys::Error) -> floe_sys::Error {
    let name = &socket.name.0;
    let port = name.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let ip = match socket.family as i32 {
        libc::AF_INET => name.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Into::into),
        _ => name.get(8..24).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Into::into),
    };
    let ip = ip.map_or_else(String::new, |ip: std::net::IpAddr| ip.to_string());
    floe_sys::Error::because(
        format!("bind a socket to {ip} port {port}"),
        error.cause().to_string(),
    )
}
