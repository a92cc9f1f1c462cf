//! Peers of raw sockets and of those of ICMP, as /proc/net has them: getpeername(2) tells of none without a port.

use floe_sys::Result;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// TCP_ESTABLISHED: it is connected.
const CONNECTED: &str = "01";

/// The `struct sockaddr` of the peer of a socket; empty for one that has none.
pub(crate) fn find(family: u32, ino: u64) -> Result<Vec<u8>> {
    let files = match family as i32 {
        libc::AF_INET => ["raw", "icmp"],
        _ => ["raw6", "icmp6"],
    };
    for name in files.map(|name| format!("/proc/thread-self/net/{name}")) {
        if !Path::new(&name).exists() {
            continue;
        }
        let text = floe_proc::read_at(&name)?;
        let text = String::from_utf8_lossy(&text);
        if let Some(found) = text.lines().find_map(|line| peer(line, ino)) {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// That of a line, if it is of this socket, which is connected.
fn peer(line: &str, ino: u64) -> Option<Vec<u8>> {
    let mut words = line.split_whitespace();
    let (peer, state) = (words.nth(2)?, words.next()?);
    if words.nth(5)?.parse() != Ok(ino) || state != CONNECTED {
        return None;
    }
    let (address, port) = peer.split_once(':')?;
    // Words of four bytes, each printed as a number although its bytes are in the order of the network.
    let part = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok();
    let bytes = |at: usize| part(at).map(u32::to_ne_bytes);
    let port = u16::from_str_radix(port, 16).ok()?;
    if address.len() == 8 {
        return Some(four(bytes(0)?.into(), port));
    }
    let [a, b, c, d] = [bytes(0)?, bytes(1)?, bytes(2)?, bytes(3)?];
    let all: Vec<u8> = [a, b, c, d].concat();
    Some(six(<[u8; 16]>::try_from(all).ok()?.into(), port))
}

/// `struct sockaddr_in`.
fn four(address: Ipv4Addr, port: u16) -> Vec<u8> {
    let family = (libc::AF_INET as u16).to_ne_bytes();
    [&family[..], &port.to_be_bytes(), &address.octets(), &[0; 8]].concat()
}

/// `struct sockaddr_in6`; the interface of a link-local address is that which the socket is bound to (SO_BINDTODEVICE).
fn six(address: Ipv6Addr, port: u16) -> Vec<u8> {
    let family = (libc::AF_INET6 as u16).to_ne_bytes();
    [&family[..], &port.to_be_bytes(), &[0; 4], &address.octets(), &[0; 4]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = " 170: 0100007F:0001 0200007F:0000 01 00000000:00000000 00:00000000 00000000     0        0 989501 2 0 0";
        assert_eq!(peer(line, 989_501), Some(four(Ipv4Addr::new(127, 0, 0, 2), 0)));
        assert_eq!(peer(line, 1), None);
        assert_eq!(peer(&line.replace(" 01 ", " 07 "), 989_501), None);
        let line = "   58: 00000000000000000000000001000000:003A 00000000000000000000000001000000:0007 01 00000000:00000000 00:00000000 00000000     0        0 989502 2 0 0";
        assert_eq!(peer(line, 989_502), Some(six(Ipv6Addr::LOCALHOST, 7)));
    }
}
