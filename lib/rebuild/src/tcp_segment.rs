//! Segments of TCP from a peer that does not send them again, such as the end of its data: made here and sent to ourselves.

use floe_netlock::{Connection, MARK};
use floe_records::Bytes;
use floe_sys::{Message, Result, send_message, set_socket_option, socket};
use std::{net::IpAddr, os::fd::AsFd};

/// Bits of a TCP header.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const ACK: u8 = 0x10;

/// Bytes of a TCP header without options.
const HEADER: usize = 20;
/// Where its checksum stands.
const CHECKSUM: usize = 16;
const HOPS: u8 = 64;
const TCP: u8 = libc::IPPROTO_TCP as u8;

/// A segment without data and options, from the peer of a connection.
pub(crate) struct Segment {
    pub connection: Connection,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// As it stands in the header, not scaled yet.
    pub window: u16,
}

impl Segment {
    /// Has it arrive at our end, whose address is `name` as getsockname(2) gives it. It passes the lock of the network.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW and CAP_NET_ADMIN.
    pub fn arrive(&self, name: &Bytes) -> Result<()> {
        let (family, to) = match self.connection.local.0 {
            IpAddr::V4(ip) => {
                let mut to = (libc::AF_INET as u16).to_ne_bytes().to_vec();
                to.extend([0; 2]);
                to.extend(ip.octets());
                to.extend([0; 8]);
                (libc::AF_INET, to)
            }
            // With its scope, and without the port, which would be a protocol.
            IpAddr::V6(_) => {
                let mut to = name.0.clone();
                to.iter_mut().skip(2).take(2).for_each(|byte| *byte = 0);
                (libc::AF_INET6, to)
            }
        };
        let raw = socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        set_socket_option(raw.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &MARK.to_ne_bytes())?;
        let bytes = &self.packet();
        let message = Message { bytes, fds: &[], credentials: None, to: Some(&to) };
        send_message(raw.as_fd(), message)
    }

    /// With its IP header.
    fn packet(&self) -> Vec<u8> {
        let Connection { local, peer } = self.connection;
        let mut tcp = Vec::with_capacity(HEADER);
        tcp.extend([peer.1, local.1].map(u16::to_be_bytes).as_flattened());
        tcp.extend([self.seq, self.ack].map(u32::to_be_bytes).as_flattened());
        tcp.extend([(HEADER as u8 / 4) << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        let (mut packet, addresses) = match (peer.0, local.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let addresses = [from.octets(), to.octets()].concat();
                // Version and words of this header, length; no fragment. The kernel adds a checksum of its own.
                let mut ip = vec![0x45, 0, 0, 20 + HEADER as u8, 0, 0, 0, 0, HOPS, TCP, 0, 0];
                ip.extend(&addresses);
                (ip, addresses)
            }
            (from, to) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                let addresses = [octets(from), octets(to)].concat();
                let mut ip = vec![0x60, 0, 0, 0, 0, HEADER as u8, TCP, HOPS];
                ip.extend(&addresses);
                (ip, addresses)
            }
        };
        let pseudo = [&addresses[..], &[0, TCP, 0, HEADER as u8], &tcp].concat();
        tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        packet.extend(tcp);
        packet
    }
}

/// The checksum of the internet (RFC 1071) of an even number of bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks().0.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(peer: &str, local: &str) -> Vec<u8> {
        let connection =
            Connection { local: (local.parse().unwrap(), 80), peer: (peer.parse().unwrap(), 9) };
        Segment { connection, seq: 1, ack: 2, flags: FIN | ACK, window: 3 }.packet()
    }

    #[test]
    fn the_sum_over_all_is_zero() {
        let four = packet("10.0.0.2", "10.0.0.1");
        assert_eq!((four.len(), four[3]), (40, 40));
        let sum =
            |addresses: &[u8], tcp: &[u8]| checksum(&[addresses, &[0, TCP, 0, 20], tcp].concat());
        assert_eq!(sum(&four[12..20], &four[20..]), 0);
        let six = packet("fe80::2", "fe80::1");
        assert_eq!((six.len(), six[5], six[6]), (60, 20, TCP));
        assert_eq!(sum(&six[8..40], &six[40..]), 0);
    }
}
