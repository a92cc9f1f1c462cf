//! What sockets of the internet share.

use crate::{
    socket::{IS_SET, option, set_inet_options, shut},
    time_wait,
};
use floe_records::{Bytes, InetSocket};
use floe_sys::{Error, Result, bind_raw, connect_raw, listen, socket};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
};

/// SO_REUSEADDR.
pub(crate) const REUSE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
/// SO_REUSEPORT.
const REUSE_PORT: (i32, i32) = (libc::SOL_SOCKET, libc::SO_REUSEPORT);
/// Also of IPv6 sockets.
const FREEBIND: (i32, i32) = (libc::IPPROTO_IP, libc::IP_FREEBIND);

/// A socket of TCP or Multipath TCP, and what could not be set of it. Connections that have just been closed keep the port busy for a listener that
/// does not say so, and others of the tree may have it too (`shares`): so SO_REUSEADDR is set, and SO_REUSEPORT, which may have
/// been switched off when all were bound; see [`settle`].
pub(crate) fn tcp(tcp: &InetSocket, protocol: i32, shares: bool) -> Result<(OwnedFd, Vec<String>)> {
    let fd = socket(tcp.family as i32, libc::SOCK_STREAM, protocol)?;
    let notes = set_inet_options(&fd, &tcp.options)?;
    if !tcp.name.0.is_empty() {
        option(&fd, REUSE, &IS_SET)?;
        if shares {
            option(&fd, REUSE_PORT, &IS_SET)?;
        }
        bind(&fd, tcp, &|| with_port(tcp, || bind_raw(fd.as_fd(), &tcp.name.0)))?;
        if let Some(backlog) = tcp.backlog {
            with_port(tcp, || listen(fd.as_fd(), backlog)).map_err(|e| address(tcp, e))?;
        }
    }
    shut(&fd, tcp.shutdown)?;
    Ok((fd, notes))
}

/// Makes a call that wants a port; where connections that have ended keep it, they let it go.
fn with_port(tcp: &InetSocket, call: impl Fn() -> Result<()>) -> Result<()> {
    let done = call();
    let in_use = done.as_ref().is_err_and(|e| e.errno() == Some(libc::EADDRINUSE));
    let Some(port) = port(&tcp.name).filter(|_| in_use) else { return done };
    match time_wait::end(port) {
        Ok(0) => done,
        Ok(_) => call(),
        Err(_) => Err(Error::because(
            "bind a socket",
            "a connection that has ended may keep it for a minute (TIME_WAIT): try again later",
        )),
    }
}

/// A socket of this type and protocol that carries messages, and what could not be set of it; `shares` says that others of the
/// tree have its port, `made` is one that has been made, with what is queued in it.
pub(crate) fn datagram(
    udp: &InetSocket,
    (kind, protocol): (i32, i32),
    shares: bool,
    made: Option<OwnedFd>,
) -> Result<(OwnedFd, Vec<String>)> {
    let fd = made.map_or_else(|| socket(udp.family as i32, kind, protocol), Ok)?;
    let notes = set_inet_options(&fd, &udp.options)?;
    if !udp.name.0.is_empty() {
        if shares {
            option(&fd, REUSE, &IS_SET)?;
        }
        bind(&fd, udp, &|| bind_raw(fd.as_fd(), &udp.name.0))?;
    }
    if !udp.peer.0.is_empty() {
        connect_raw(fd.as_fd(), &udp.peer.0)?;
    }
    shut(&fd, udp.shutdown)?;
    Ok((fd, notes))
}

/// All are bound: SO_REUSEADDR and SO_REUSEPORT as they were.
pub(crate) fn settle(socket: &InetSocket, fd: &OwnedFd) -> Result<()> {
    [REUSE, REUSE_PORT].into_iter().try_for_each(|name| {
        let was = socket.options.iter().find(|o| (o.level, o.name) == name);
        option(fd, name, was.map_or(&[0; 4], |o| &o.value.0))
    })
}

/// How many sockets of a protocol have a port.
#[derive(Default)]
pub(crate) struct Ports(BTreeMap<[u8; 2], usize>);

impl Ports {
    /// Those of all sockets of a protocol.
    pub fn of<'a>(sockets: impl Iterator<Item = &'a InetSocket>) -> Self {
        let mut ports = Self::default();
        for port in sockets.filter_map(|it| port(&it.name)) {
            *ports.0.entry(port).or_default() += 1;
        }
        ports
    }

    /// Whether others of the tree have the port of this address.
    pub fn shares(&self, name: &Bytes) -> bool {
        port(name).is_some_and(|port| self.0.get(&port).is_some_and(|count| *count > 1))
    }
}

/// The port of an address.
fn port(name: &Bytes) -> Option<[u8; 2]> {
    name.0.get(2..4).and_then(|port| port.try_into().ok())
}

pub(crate) fn bind(fd: &OwnedFd, it: &InetSocket, call: &dyn Fn() -> Result<()>) -> Result<()> {
    if it.foreign {
        option(fd, FREEBIND, &IS_SET)?;
    }
    call().map_err(|e| address(it, e))?;
    if it.foreign {
        let was = it.options.iter().find(|o| (o.level, o.name) == FREEBIND);
        option(fd, FREEBIND, was.map_or(&[0; 4], |o| &o.value.0))?;
    }
    Ok(())
}

/// Names the address in an error.
fn address(socket: &InetSocket, error: floe_sys::Error) -> floe_sys::Error {
    let doing = format!("bind a socket to {}", shown(&socket.name, socket.family));
    floe_sys::Error::because(doing, error.cause().to_string())
}

/// An address and its port, for people.
pub(crate) fn shown(name: &Bytes, family: u32) -> String {
    let name = &name.0;
    let port = name.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let ip = match family as i32 {
        libc::AF_INET => name.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(Into::into),
        _ => name.get(8..24).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Into::into),
    };
    let ip = ip.map_or_else(String::new, |ip: std::net::IpAddr| ip.to_string());
    format!("{ip} port {port}")
}
