//! What TCP and UDP sockets share.

use crate::socket::{IS_SET, option, set_options};
use floe_records::InetSocket;
use floe_sys::{Result, bind_raw, connect_raw, listen, socket};
use std::os::fd::{AsFd, OwnedFd};

pub(crate) fn tcp(tcp: &InetSocket) -> Result<OwnedFd> {
    let fd = socket(tcp.family as i32, libc::SOCK_STREAM, libc::IPPROTO_TCP)?;
    set_options(&fd, &tcp.options)?;
    if !tcp.name.0.is_empty() {
        // Connections that have just been closed keep the port busy for a listener that does not say so.
        let reuse = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
        option(&fd, reuse, &IS_SET)?;
        bind_raw(fd.as_fd(), &tcp.name.0).map_err(|e| address(tcp, e))?;
        if let Some(backlog) = tcp.backlog {
            listen(fd.as_fd(), backlog).map_err(|e| address(tcp, e))?;
        }
        let was = tcp.options.iter().find(|o| (o.level, o.name) == reuse);
        option(&fd, reuse, was.map_or(&[0; 4], |o| &o.value.0))?;
    }
    Ok(fd)
}

pub(crate) fn udp(udp: &InetSocket) -> Result<OwnedFd> {
    let fd = socket(udp.family as i32, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?;
    set_options(&fd, &udp.options)?;
    if !udp.name.0.is_empty() {
        bind_raw(fd.as_fd(), &udp.name.0).map_err(|e| address(udp, e))?;
    }
    if !udp.peer.0.is_empty() {
        connect_raw(fd.as_fd(), &udp.peer.0)?;
    }
    Ok(fd)
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
