//! Sockets of a tree that comes back with other addresses, such as on another machine.

use floe_records::*;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// An address, and the one that takes its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewAddress {
    /// Of the same family.
    old: IpAddr,
    new: IpAddr,
}

impl FromStr for NewAddress {
    type Err = String;

    /// From `OLD=NEW`, both of IPv4 or both of IPv6.
    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or("it has no = between two addresses")?;
        let address = |text: &str| {
            let parsed: Result<IpAddr, _> = text.parse();
            parsed.map(|ip| ip.to_canonical()).map_err(|e| format!("{text:?}: {e}"))
        };
        let (old, new) = (address(old)?, address(new)?);
        if old.is_ipv4() != new.is_ipv4() {
            return Err("one address is of IPv4 and the other of IPv6".into());
        }
        Ok(Self { old, new })
    }
}

impl std::fmt::Display for NewAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.old, self.new)
    }
}

/// The same tree with new addresses at either end of its sockets of the internet, and those of `all` that no socket has. Each address is
/// replaced once, so that two can be exchanged; of several for one the first counts.
///
/// # Errors
/// None that a tree has which could be read.
pub fn map_addresses(tree: Tree, all: &[NewAddress]) -> Result<(Tree, Vec<NewAddress>), Duplicate> {
    let mut used = vec![false; all.len()];
    let mut both = |socket: &mut InetSocket| {
        for name in [&mut socket.name, &mut socket.peer] {
            if let Some(at) = all.iter().position(|it| address(name) == Some(it.old)) {
                used[at] = true;
                replace(name, all[at].new);
            }
        }
    };
    let tree = tree.map(|it: &mut TcpSocket| both(&mut it.socket))?;
    let tree = tree.map(|it: &mut UdpSocket| both(&mut it.socket))?;
    let tree = tree.map(|it: &mut DatagramSocket| both(&mut it.socket))?;
    let tree = tree.map(|it: &mut MptcpSocket| both(&mut it.socket))?;
    let unused = all.iter().zip(used).filter(|(_, used)| !used).map(|(it, _)| *it).collect();
    Ok((tree, unused))
}

/// AF_INET and AF_INET6.
const INET: u16 = 2;
const INET6: u16 = 10;
/// Bytes of `struct sockaddr_in` in front of the address, and of `struct sockaddr_in6`.
const BEFORE: [usize; 2] = [4, 8];

/// That of a `struct sockaddr_in` or `struct sockaddr_in6`; one of IPv4 that is mapped to IPv6 is one of IPv4.
fn address(name: &Bytes) -> Option<IpAddr> {
    match u16::from_ne_bytes(*name.0.first_chunk()?) {
        INET => Some(Ipv4Addr::from(*name.0.get(BEFORE[0]..)?.first_chunk::<4>()?).into()),
        INET6 => {
            Some(Ipv6Addr::from(*name.0.get(BEFORE[1]..)?.first_chunk::<16>()?).to_canonical())
        }
        _ => None,
    }
}

/// Puts an address in the place of another one that [`address`] has found.
fn replace(name: &mut Bytes, new: IpAddr) {
    let is_short = name.0.len() < BEFORE[1] + 16;
    let (before, bytes) = match new {
        IpAddr::V4(ip) if is_short => (BEFORE[0], ip.octets().to_vec()),
        IpAddr::V4(ip) => (BEFORE[1], ip.to_ipv6_mapped().octets().to_vec()),
        IpAddr::V6(ip) => (BEFORE[1], ip.octets().to_vec()),
    };
    if let Some(place) = name.0.get_mut(before..before + bytes.len()) {
        place.copy_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(ip: [u8; 4]) -> Bytes {
        let mut name = INET.to_ne_bytes().to_vec();
        name.extend([0, 80]);
        name.extend(ip);
        name.resize(16, 0);
        Bytes(name)
    }

    fn six(ip: Ipv6Addr) -> Bytes {
        let mut name = INET6.to_ne_bytes().to_vec();
        name.extend([0, 80, 0, 0, 0, 0]);
        name.extend(ip.octets());
        name.extend([7, 0, 0, 0]);
        Bytes(name)
    }

    fn tree(name: Bytes, peer: Bytes) -> Tree {
        let family = u32::from(name.0[0]);
        let (ino, foreign, backlog, shutdown, options) = (1, false, None, 0, Vec::new());
        let socket = InetSocket { ino, family, name, peer, foreign, backlog, shutdown, options };
        let mut records = Tree::default();
        let tcp = TcpSocket { file: FileId(1), socket: socket.clone() };
        records.insert(tcp.any()).expect("one socket");
        records.insert(UdpSocket { file: FileId(2), socket }.any()).expect("another");
        records
    }

    fn mapped(name: Bytes, peer: Bytes, all: &[&str]) -> (Bytes, Bytes, usize) {
        let all: Vec<NewAddress> = all.iter().map(|text| text.parse().expect(text)).collect();
        let (tree, unused) = map_addresses(tree(name, peer), &all).expect("a tree");
        let udp = &tree.all::<UdpSocket>()[0].socket;
        let tcp = &tree.all::<TcpSocket>()[0].socket;
        assert_eq!((&udp.name, &udp.peer), (&tcp.name, &tcp.peer));
        (tcp.name.clone(), tcp.peer.clone(), unused.len())
    }

    #[test]
    fn both_ends_are_replaced_once() {
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let exchange = ["10.0.0.1=10.0.0.2", "10.0.0.2=10.0.0.1", "10.0.0.3=10.0.0.4"];
        assert_eq!(mapped(four(a), four(b), &exchange), (four(b), four(a), 1));
        assert_eq!(mapped(four(a), four(b), &[]), (four(a), four(b), 0));
    }

    #[test]
    fn families_are_kept() {
        let over = |ip: [u8; 4]| six(Ipv4Addr::from(ip).to_ipv6_mapped());
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert_eq!(
            mapped(over(a), over(b), &["10.0.0.1=10.9.9.9"]),
            (over([10, 9, 9, 9]), over(b), 0)
        );
        let (c, d) = ("fd00::1".parse().expect("c"), "fd00::2".parse().expect("d"));
        assert_eq!(mapped(six(c), six(c), &["fd00::1=fd00::2"]), (six(d), six(d), 0));
    }

    #[test]
    fn what_is_no_pair_of_addresses_is_refused() {
        for text in ["", "10.0.0.1", "10.0.0.1=", "10.0.0.1=fd00::1", "10.0.0.1=host", "=10.0.0.1"]
        {
            assert!(text.parse::<NewAddress>().is_err(), "{text}");
        }
    }
}
