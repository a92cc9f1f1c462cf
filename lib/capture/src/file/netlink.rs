//! Netlink sockets.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
    socket::options,
    socket_kind::Kind,
};
use floe_records::{FileId, NetlinkSocket};
use floe_sys::{Error, peer_name, poll, socket_name, socket_option};
use std::{os::fd::BorrowedFd, time::Duration};

/// Level of netlink(7).
pub(crate) const LEVEL: i32 = libc::SOL_NETLINK;
/// What is carried.
const OPTIONS: [(i32, i32); 7] = [
    (LEVEL, libc::NETLINK_PKTINFO),
    (LEVEL, libc::NETLINK_BROADCAST_ERROR),
    (LEVEL, libc::NETLINK_NO_ENOBUFS),
    (LEVEL, libc::NETLINK_LISTEN_ALL_NSID),
    (LEVEL, libc::NETLINK_CAP_ACK),
    (LEVEL, libc::NETLINK_EXT_ACK),
    (LEVEL, libc::NETLINK_GET_STRICT_CHK),
];
/// Bytes of the groups of a socket, a bit for each.
const GROUPS: usize = 8192;

/// NETLINK_ROUTE, NETLINK_USERSOCK, NETLINK_SOCK_DIAG, NETLINK_XFRM, NETLINK_SELINUX, NETLINK_FIB_LOOKUP,
/// NETLINK_KOBJECT_UEVENT, NETLINK_CRYPTO: the kernel has nothing of a socket of theirs but what it shows.
const PLAIN: [i32; 8] = [0, 2, 4, 6, 7, 10, 15, 21];
/// Those under whose numbers the kernel may keep more, which it does not show.
const KEEPING: [(i32, &str); 4] = [
    (9, "the place of the audit daemon (NETLINK_AUDIT)"),
    (11, "a subscription (NETLINK_CONNECTOR)"),
    (12, "a queue, a log or a table (NETLINK_NETFILTER)"),
    (16, "a registration (NETLINK_GENERIC)"),
];
const AGAIN: &str = "try again when the program has read it";

impl OfFile for NetlinkSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let of = |kind: Kind| PLAIN.contains(&kind.protocol) || keeps(kind).is_some();
        seen.socket().is_some_and(|kind| kind.family == libc::AF_NETLINK && of(kind))
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let unknown = || Problem::new("file.socket", "its kind cannot be read");
        let Kind { kind, protocol, .. } = seen.socket().ok_or_else(unknown)?;
        let fd = seen.duplicate()?;
        let (port, groups) = (number(&socket_name(fd)?, 4), groups(fd)?);
        let mut peer = None;
        // One without a number has never said anything.
        if port != 0 {
            let refuse = |what: &str| Problem::Refused("file.netlink", what.into(), AGAIN);
            let ino = seen.stat.ino;
            let state = seen.in_network(|all| all.inet.netlink(ino))?;
            let state = state.ok_or_else(|| refuse("sock_diag does not know it"))?;
            if state.answers {
                return Err(refuse("the kernel is still answering a request (NLM_F_DUMP)"));
            }
            if groups.is_empty() && queued(fd)? & libc::POLLIN != 0 {
                return Err(refuse("an answer waits in it"));
            }
            if state.connected {
                let name = peer_name(fd)?;
                peer = Some((number(&name, 4), number(&name, 8)));
            }
        }
        let (sock_type, protocol) = (kind as u32, protocol as u32);
        let options = options(seen, &OPTIONS)?;
        Ok(NetlinkSocket { file, sock_type, protocol, port, peer, groups, options })
    }
}

fn keeps(kind: Kind) -> Option<&'static str> {
    let found = KEEPING.iter().find(|(protocol, _)| *protocol == kind.protocol);
    found.map(|(_, what)| *what)
}

/// Whether an option is carried, or is none.
pub(crate) fn is_carried(option: (i32, i32)) -> bool {
    OPTIONS.contains(&option) || option == (LEVEL, libc::NETLINK_LIST_MEMBERSHIPS)
}

/// What is not carried of it, in words.
pub(crate) fn lost(fd: BorrowedFd<'_>, kind: Kind) -> crate::Result<Vec<String>> {
    let mut lost = Vec::new();
    let there = queued(fd)?;
    if there & libc::POLLIN != 0 {
        lost.push("messages in it that nobody has read are not carried".to_owned());
    }
    if there & libc::POLLERR != 0 {
        lost.push("its error (such as ENOBUFS) is not carried".to_owned());
    }
    if let Some(what) = keeps(kind)
        && number(&socket_name(fd)?, 4) != 0
    {
        lost.push(format!("what the kernel may keep for it is not carried: {what}"));
    }
    Ok(lost)
}

fn queued(fd: BorrowedFd<'_>) -> Result<i16, Error> {
    let there = poll(fd, libc::POLLIN, Some(Duration::ZERO));
    there.map_err(|e| Error::new("look at a socket", e))
}

/// A number of a `struct sockaddr_nl`.
fn number(name: &[u8], at: usize) -> u32 {
    name.get(at..).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u32::from_ne_bytes)
}

/// The groups whose messages it gets: words of bits.
fn groups(fd: BorrowedFd<'_>) -> Result<Vec<u32>, Error> {
    let words = socket_option(fd, LEVEL, libc::NETLINK_LIST_MEMBERSHIPS, GROUPS)?;
    let is_set = |bit: &u32| words[*bit as usize / 8] & 1 << (bit % 8) != 0;
    Ok((0..words.len() as u32 * 8).filter(is_set).map(|bit| bit + 1).collect())
}
