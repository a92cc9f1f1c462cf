//! Datagrams from a peer that does not send them again: made here, with the header of IP, and sent to ourselves.

use crate::tcp_segment::checksum;
use floe_netlock::MARK;
use floe_records::Datagram;
use floe_sys::{Message, Result, send_message, set_socket_option, socket};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
};

/// Bytes of a header of UDP.
const HEADER: usize = 8;
/// Where its checksum stands.
const CHECKSUM: usize = 6;

/// Address and port of a `struct sockaddr_in` or `struct sockaddr_in6`; one of IPv4 that is mapped is itself.
pub(crate) fn address(name: &[u8]) -> Option<(IpAddr, u16)> {
    let port = u16::from_be_bytes(name.get(2..4)?.try_into().ok()?);
    let ip = match name.len() {
        16 => IpAddr::from(<[u8; 4]>::try_from(name.get(4..8)?).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(name.get(8..24)?).ok()?).to_canonical(),
    };
    Some((ip, port))
}

/// Sends such datagrams, and has made a socket for each family when the first one went.
pub(crate) struct Sender {
    /// IPPROTO_UDP or IPPROTO_UDPLITE.
    protocol: u8,
    four: Option<OwnedFd>,
    six: Option<OwnedFd>,
}

impl Sender {
    pub fn new(protocol: i32) -> Self {
        Self { protocol: protocol as u8, four: None, six: None }
    }

    /// Has a datagram arrive at an address and port of this machine.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW and CAP_NET_ADMIN, EMSGSIZE where it is longer than lo takes.
    pub fn send(&mut self, was: &Datagram, bytes: &[u8], to: (IpAddr, u16)) -> Result<()> {
        let Some((from, port)) = address(&was.from.0) else { return Ok(()) };
        let udp = |addresses: &[u8]| self.datagram(addresses, (port, to.1), bytes);
        let (place, family, name, packet) = match (from, to.0) {
            (IpAddr::V4(from), IpAddr::V4(ip)) => {
                let udp = udp([from.octets(), ip.octets()].as_flattened());
                let packet = [&four(self.protocol, was, from, ip, udp.len())[..], &udp].concat();
                (&mut self.four, libc::AF_INET, name_four(ip), packet)
            }
            (IpAddr::V6(from), IpAddr::V6(ip)) => {
                let udp = udp([from.octets(), ip.octets()].as_flattened());
                let packet = [&six(self.protocol, was, from, ip, udp.len())[..], &udp].concat();
                (&mut self.six, libc::AF_INET6, name_six(ip), packet)
            }
            _ => return Ok(()),
        };
        let raw = match place {
            Some(raw) => raw,
            none => {
                let raw = socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
                let mark = MARK.to_ne_bytes();
                set_socket_option(raw.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark)?;
                none.insert(raw)
            }
        };
        let message = Message { bytes: &packet, fds: &[], credentials: None, to: Some(&name) };
        send_message(raw.as_fd(), message)
    }

    /// Header and data; of UDP-Lite the checksum covers all.
    fn datagram(&self, addresses: &[u8], (from, to): (u16, u16), bytes: &[u8]) -> Vec<u8> {
        let len = HEADER + bytes.len();
        let shown = if i32::from(self.protocol) == libc::IPPROTO_UDP { len } else { 0 };
        let mut udp = Vec::with_capacity(len);
        udp.extend([from, to, shown as u16, 0].map(u16::to_be_bytes).as_flattened());
        udp.extend(bytes);
        // The length is an even number of bytes from the end, whatever its width is.
        let mut all = [addresses, &[0, self.protocol], &(len as u32).to_be_bytes(), &udp].concat();
        all.resize(all.len().next_multiple_of(2), 0);
        // 0 stands for none.
        let sum = match checksum(&all) {
            0 => u16::MAX,
            sum => sum,
        };
        udp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        udp
    }
}

/// The header of IPv4: version and words of it, TOS, length; no fragment. The kernel adds a checksum of its own.
fn four(protocol: u8, was: &Datagram, from: Ipv4Addr, to: Ipv4Addr, len: usize) -> Vec<u8> {
    let [high, low] = ((20 + len) as u16).to_be_bytes();
    let mut ip = vec![0x45, was.tos, high, low, 0, 0, 0, 0, was.ttl, protocol, 0, 0];
    ip.extend([from.octets(), to.octets()].as_flattened());
    ip
}

/// The header of IPv6.
fn six(protocol: u8, was: &Datagram, from: Ipv6Addr, to: Ipv6Addr, len: usize) -> Vec<u8> {
    let [high, low] = (len as u16).to_be_bytes();
    let mut ip = vec![0x60 | was.tos >> 4, was.tos << 4, 0, 0, high, low, protocol, was.ttl];
    ip.extend([from.octets(), to.octets()].as_flattened());
    ip
}

/// A `struct sockaddr_in` without a port.
pub(crate) fn name_four(ip: Ipv4Addr) -> Vec<u8> {
    let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    name.extend([0; 2]);
    name.extend(ip.octets());
    name.extend([0; 8]);
    name
}

/// A `struct sockaddr_in6` without a port, which would be a protocol.
pub(crate) fn name_six(ip: Ipv6Addr) -> Vec<u8> {
    let mut name = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
    name.extend([0; 6]);
    name.extend(ip.octets());
    name.extend([0; 4]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_all_is_zero() {
        for (protocol, bytes) in [(17, &b"four"[..]), (17, b"odd"), (136, b"")] {
            let addresses = [10, 0, 0, 2, 10, 0, 0, 1];
            let udp = Sender::new(protocol).datagram(&addresses, (53, 4000), bytes);
            let mut all = [&addresses[..], &[0, protocol as u8, 0, udp.len() as u8], &udp].concat();
            all.resize(all.len().next_multiple_of(2), 0);
            assert_eq!(checksum(&all), 0);
        }
    }
}
