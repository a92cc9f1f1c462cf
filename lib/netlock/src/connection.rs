//! The two addresses of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses and ports of a TCP connection. A connection of IPv4 is the same whether the socket is one of AF_INET or AF_INET6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Connection {
    /// Our end.
    pub local: (IpAddr, u16),
    /// The other end, of the same family.
    pub peer: (IpAddr, u16),
}

impl Connection {
    /// From two addresses as getsockname(2) and getpeername(2) give them; `None` where they are no addresses of one family.
    pub fn of(name: &[u8], peer: &[u8]) -> Option<Self> {
        let (local, peer) = (address(name)?, address(peer)?);
        (local.0.is_ipv4() == peer.0.is_ipv4()).then_some(Self { local, peer })
    }

    /// As the other end sees it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { local: self.peer, peer: self.local }
    }
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
fn address(name: &[u8]) -> Option<(IpAddr, u16)> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    let ip = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::from(*name.get(4..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*name.get(8..)?.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(ip: [u8; 4], port: u16) -> Vec<u8> {
        let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        name.extend(port.to_be_bytes());
        name.extend(ip);
        name.resize(16, 0);
        name
    }

    fn six(ip: Ipv6Addr, port: u16) -> Vec<u8> {
        let mut name = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        name.extend(port.to_be_bytes());
        name.extend([0; 4]);
        name.extend(ip.octets());
        name.resize(28, 0);
        name
    }

    #[test]
    fn a_mapped_address_is_one_of_the_old_protocol() {
        let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let mapped = |ip: [u8; 4]| Ipv4Addr::from(ip).to_ipv6_mapped();
        let plain = Connection::of(&four(here, 80), &four(there, 9)).unwrap();
        assert_eq!(Connection::of(&six(mapped(here), 80), &six(mapped(there), 9)), Some(plain));
        assert_eq!(plain.reversed().local, (IpAddr::from(there), 9));
        assert_eq!(plain.reversed().reversed(), plain);
    }

    #[test]
    fn what_is_no_pair_of_addresses_is_none() {
        let local = six(Ipv6Addr::LOCALHOST, 1);
        assert!(Connection::of(&local, &local).is_some());
        assert_eq!(Connection::of(&local, &four([1; 4], 1)), None);
        assert_eq!(Connection::of(&local, &local[..20]), None);
        assert_eq!(Connection::of(&[], &[]), None);
        assert_eq!(Connection::of(&[1, 0, 0, 0], &[1, 0, 0, 0]), None);
    }
}
