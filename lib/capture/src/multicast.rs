//! The multicast groups that somebody in our network namespace is a member of (/proc/net/igmp and igmp6 of proc(5)).

use floe_records::{Bytes, SocketOption};
use floe_sys::{Result, group_filter};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::BorrowedFd,
    path::Path,
};

/// A group on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    /// Index of the interface.
    pub interface: u32,
    pub address: IpAddr,
}

/// All of them; none on a kernel without multicast.
pub(crate) fn groups() -> Result<Vec<Group>> {
    let (four, six) = ("/proc/thread-self/net/igmp", "/proc/thread-self/net/igmp6");
    let text = |path| match Path::new(path).exists() {
        true => floe_proc::read_at(path),
        false => Ok(Vec::new()),
    };
    let mut all = of_ipv4(&String::from_utf8_lossy(&text(four)?));
    all.extend(String::from_utf8_lossy(&text(six)?).lines().filter_map(of_ipv6));
    Ok(all)
}

/// Memberships of a socket of this family in some of them.
pub(crate) fn memberships(
    fd: BorrowedFd<'_>,
    family: i32,
    groups: &[Group],
) -> Result<Vec<SocketOption>> {
    let mut all = Vec::new();
    for group in groups.iter().filter(|it| family == libc::AF_INET6 || it.address.is_ipv4()) {
        let level = if group.address.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
        if let Some(filter) = group_filter(fd, group.interface, group.address)? {
            all.push(SocketOption { level, name: SocketOption::GROUP, value: Bytes(filter) });
        }
    }
    Ok(all)
}

/// A line for each interface, and behind it one for each of its groups.
fn of_ipv4(text: &str) -> Vec<Group> {
    let (mut interface, mut all) = (0, Vec::new());
    for line in text.lines() {
        let Some(word) = line.split_whitespace().next() else { continue };
        if !line.starts_with('\t') {
            interface = word.parse().unwrap_or(interface);
        } else if let Ok(address) = u32::from_str_radix(word, 16) {
            // Printed as a number, although its bytes are in the order of the network.
            let address = Ipv4Addr::from(address.to_ne_bytes()).into();
            all.push(Group { interface, address });
        }
    }
    all
}

fn of_ipv6(line: &str) -> Option<Group> {
    let mut words = line.split_whitespace();
    let (interface, _, address) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let address = u128::from_str_radix(address, 16).ok()?;
    Some(Group { interface, address: Ipv6Addr::from(address).into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, os::fd::AsFd};

    #[test]
    fn lines_are_read() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
            1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
            4\teth0      :     1      V3\n\t\t\t\t030201EF     1 0:00000000\t\t0\n";
        let group =
            |interface, address: &str| Group { interface, address: address.parse().unwrap() };
        assert_eq!(of_ipv4(text), [group(1, "224.0.0.1"), group(4, "239.1.2.3")]);
        let line = "1    lo              ff020000000000000000000000000001     1 0000000C 0";
        assert_eq!(of_ipv6(line), Some(group(1, "ff02::1")));
        assert_eq!(of_ipv6(""), None);
    }

    #[test]
    fn a_membership_is_found() {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let address: Ipv4Addr = "239.7.7.7".parse().unwrap();
        if socket.join_multicast_v4(&address, &Ipv4Addr::LOCALHOST).is_err() {
            return println!("SKIPPED: no interface for multicast");
        }
        let is_it = |group: &Group| group.address == IpAddr::V4(address);
        let all = groups().unwrap();
        let group = all.iter().find(|group| is_it(group)).expect("it is listed");
        let of = |socket: &UdpSocket| {
            floe_sys::group_filter(socket.as_fd(), group.interface, group.address).unwrap()
        };
        // In the mode of all sources, and without any.
        assert!(of(&socket).is_some_and(|filter| filter[136..] == [0; 8]));
        let other = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(of(&other), None);
    }
}
