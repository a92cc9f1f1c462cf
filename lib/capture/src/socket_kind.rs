//! Which kind a socket is.

use floe_sys::socket_option;
use std::os::fd::BorrowedFd;

/// Family, type and protocol of a socket (socket(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Kind {
    pub family: i32,
    pub kind: i32,
    pub protocol: i32,
}

/// An option that is a number.
pub(crate) fn number(fd: BorrowedFd<'_>, level: i32, name: i32) -> floe_sys::Result<i32> {
    let value = socket_option(fd, level, name, 4)?;
    Ok(value.try_into().map_or(0, i32::from_ne_bytes))
}

/// What kind of socket it is.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> floe_sys::Result<Kind> {
    let option = |name| number(fd, libc::SOL_SOCKET, name);
    let (family, kind) = (option(libc::SO_DOMAIN)?, option(libc::SO_TYPE)?);
    Ok(Kind { family, kind, protocol: option(libc::SO_PROTOCOL)? })
}

/// Why a socket that no kind claims cannot be had.
pub(crate) fn unknown(kind: Option<Kind>) -> String {
    let Some(Kind { family, kind, protocol }) = kind else {
        return "its kind cannot be read".to_owned();
    };
    let name = FAMILIES.iter().find(|(number, _)| *number == family).map(|(_, name)| *name);
    let name = name.map_or_else(|| format!("family {family}"), ToOwned::to_owned);
    let known = if protocol == libc::IPPROTO_MPTCP { ": MPTCP" } else { "" };
    format!("{name} sockets (type {kind}, protocol {protocol}{known}) cannot be captured")
}

/// Names of families as address_families(7) has them.
const FAMILIES: [(i32, &str); 14] = [
    (libc::AF_UNIX, "UNIX"),
    (libc::AF_INET, "IPv4"),
    (libc::AF_INET6, "IPv6"),
    (libc::AF_NETLINK, "netlink"),
    (libc::AF_PACKET, "packet"),
    (libc::AF_VSOCK, "vsock"),
    (libc::AF_ALG, "AF_ALG"),
    (libc::AF_BLUETOOTH, "Bluetooth"),
    (libc::AF_CAN, "CAN"),
    (libc::AF_TIPC, "TIPC"),
    (libc::AF_KEY, "AF_KEY"),
    (libc::AF_RDS, "RDS"),
    (libc::AF_XDP, "XDP"),
    (43, "SMC"),
];
