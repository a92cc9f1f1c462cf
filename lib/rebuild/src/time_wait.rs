//! Connections that have just ended (TIME_WAIT): for a minute they keep their port from a socket, if the one that they were made
//! with did not set SO_REUSEADDR. They are found and ended by sock_diag(7), so that the kernel goes on refusing a port that a
//! living socket has.

use nix::sys::socket::{MsgFlags, recv, send};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// Of include/uapi/linux/sock_diag.h and inet_diag.h.
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const TCP_TIME_WAIT: u32 = 6;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Bytes of `struct nlmsghdr`, and of what stands before `struct inet_diag_sockid` in an answer.
const HEADER: usize = 16;
const BEFORE_ID: usize = 4;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie.
type Id = [u8; 48];
/// More than the kernel sends at once.
const ROOM: usize = 64 << 10;

/// Ends those that have this port, as it lies in an address; how many there were.
///
/// # Errors
/// The kernel can end none (CONFIG_INET_DIAG_DESTROY), or one without CAP_NET_ADMIN has asked.
pub(crate) fn end(port: [u8; 2]) -> io::Result<usize> {
    let socket = floe_sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, NETLINK_SOCK_DIAG)
        .map_err(|e| io::Error::from_raw_os_error(e.errno().unwrap_or(libc::EIO)))?;
    let mut ended = 0;
    for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
        for id in all(&socket, family, port)? {
            send(socket.as_raw_fd(), &message(SOCK_DESTROY, ACK, family, &id), MsgFlags::empty())?;
            answers(&socket, &mut |_| {})?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// Those of a family.
fn all(socket: &OwnedFd, family: u8, port: [u8; 2]) -> io::Result<Vec<Id>> {
    let mut id = [0; 48];
    id[..2].copy_from_slice(&port);
    send(socket.as_raw_fd(), &message(SOCK_DIAG_BY_FAMILY, DUMP, family, &id), MsgFlags::empty())?;
    let mut found = Vec::new();
    while answers(socket, &mut |told| {
        let id = told.get(BEFORE_ID..).and_then(|rest| rest.first_chunk::<48>());
        found.extend(id.filter(|id| id[..2] == port));
    })? {}
    Ok(found)
}

/// A request: `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn message(kind: u16, flags: u16, family: u8, id: &Id) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend([family, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend((1u32 << TCP_TIME_WAIT).to_ne_bytes());
    bytes.extend(id);
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
    bytes
}

/// Receives once, and hands on what stands behind the header of each message; false behind the last one.
fn answers(socket: &OwnedFd, each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    let mut bytes = vec![0; ROOM];
    let len = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    let mut rest = &bytes[..len];
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, ..] = *header;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        let body = rest.get(HEADER..len).ok_or(io::ErrorKind::InvalidData)?;
        match u16::from_ne_bytes([e, f]) {
            DONE => return Ok(false),
            ERROR => {
                let code = body.first_chunk().map_or(-libc::EIO, |code| i32::from_ne_bytes(*code));
                // One that has ended by itself is gone as well.
                let is_fine = code == 0 || code == -libc::ENOENT;
                return if is_fine { Ok(false) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            _ => each(body),
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}
