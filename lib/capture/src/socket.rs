//! What all sockets have.

use crate::{descriptor_of::Descriptor, multicast::memberships, socket_kind::number};
use floe_records::{Bytes, SocketOption};
use floe_sys::{short_socket_option, socket_filter, socket_option};
use nix::unistd::{getegid, geteuid};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
};

/// SO_BUF_LOCK: which buffer sizes were set by hand (SOCK_SNDBUF_LOCK 1, SOCK_RCVBUF_LOCK 2).
const SO_BUF_LOCK: i32 = 72;

/// The options of a socket: those of `list`, those of every socket, and buffer sizes that were set by hand. No refusal
/// depends on them, so a look gets none.
pub(crate) fn options(
    seen: &Descriptor<'_>,
    list: &[(i32, i32)],
) -> floe_sys::Result<Vec<SocketOption>> {
    options_beside(None, seen, list)
}

/// The same without those that a fresh UNIX socket of a type has.
fn options_beside(
    fresh: Option<i32>,
    seen: &Descriptor<'_>,
    list: &[(i32, i32)],
) -> floe_sys::Result<Vec<SocketOption>> {
    if !seen.context.taking {
        return Ok(Vec::new());
    }
    let (fd, usual) = (seen.duplicate()?, fresh.map(usual).transpose()?);
    let is_unix = seen.socket().is_some_and(|kind| kind.family == libc::AF_UNIX);
    let mut options = asked(fd, (is_unix, usual.as_deref().unwrap_or_default()), list);
    let family = seen.socket().map_or(0, |kind| kind.family);
    if matches!(family, libc::AF_INET | libc::AF_INET6) {
        let all = seen.in_network(|all| memberships(fd, family, all.inet.groups()?));
        options.extend(all?);
    }
    if family == libc::AF_UNIX {
        options.extend(caller(fd)?);
    }
    options.extend(filter(fd)?);
    Ok(options)
}

/// Those that are settings and differ from what is `usual`, by their places in [`EVERY`].
fn asked(
    fd: BorrowedFd<'_>,
    (is_unix, usual): (bool, &[Option<Vec<u8>>]),
    list: &[(i32, i32)],
) -> Vec<SocketOption> {
    let mut options = Vec::new();
    let mut take = |level: i32, name: i32, usual: Option<&[u8]>| {
        let mut buffer = [0; 64];
        // Options that this type of socket does not support are skipped.
        if let Some(value) = short_socket_option(fd, (level, name), &mut buffer)
            && usual != Some(value)
        {
            options.push(SocketOption { level, name, value: Bytes(value.to_vec()) });
        }
    };
    for (at, name) in EVERY.iter().enumerate() {
        if !is_unix || !NOTHING_TO_UNIX.contains(name) {
            take(libc::SOL_SOCKET, *name, usual.get(at).and_then(Option::as_deref));
        }
    }
    list.iter().for_each(|(level, name)| take(*level, *name, None));
    // Older kernels do not show what was set by hand.
    let locked = number(fd, libc::SOL_SOCKET, SO_BUF_LOCK).unwrap_or(0);
    for (bit, name) in [(1, libc::SO_SNDBUF), (2, libc::SO_RCVBUF)] {
        if locked & bit != 0 {
            take(libc::SOL_SOCKET, name, None);
        }
    }
    options
}

/// Who made the peer of a UNIX socket, or the listener that it is, if that is another user than the one who restores, as far as
/// anybody knows by now.
fn caller(fd: BorrowedFd<'_>) -> floe_sys::Result<Vec<SocketOption>> {
    // `struct ucred`: process, user, group. Groups: NGROUPS_MAX of them at most.
    const ROOM: usize = 65_536 * 4;
    let read = |name, room| socket_option(fd, libc::SOL_SOCKET, name, room);
    let peer = read(SocketOption::PEER, 12)?;
    let word = |at: usize| peer.get(at..).and_then(|b| b.first_chunk().copied());
    let (Some(uid), Some(gid)) = (word(4), word(8)) else { return Ok(Vec::new()) };
    let (uid, gid) = (u32::from_ne_bytes(uid), u32::from_ne_bytes(gid));
    // Nobody, where there is no peer.
    if uid == u32::MAX || (uid, gid) == (geteuid().as_raw(), getegid().as_raw()) {
        return Ok(Vec::new());
    }
    let groups = read(SocketOption::PEER_GROUPS, ROOM)?;
    let of = |name, value| SocketOption { level: libc::SOL_SOCKET, name, value: Bytes(value) };
    Ok(vec![of(SocketOption::PEER, peer), of(SocketOption::PEER_GROUPS, groups)])
}

/// A classic filter; another one is told to be lost. It is locked when it is there.
fn filter(fd: BorrowedFd<'_>) -> floe_sys::Result<Vec<SocketOption>> {
    let of = |name, value| SocketOption { level: libc::SOL_SOCKET, name, value: Bytes(value) };
    let mut options = Vec::new();
    match socket_filter(fd) {
        Ok(program) if program.is_empty() => {}
        Ok(program) => options.push(of(SocketOption::FILTER, program)),
        Err(e) if e.errno() == Some(libc::EACCES) => return Ok(options),
        Err(e) => return Err(e),
    }
    if number(fd, libc::SOL_SOCKET, SocketOption::FILTER_LOCK)? != 0 {
        options.push(of(SocketOption::FILTER_LOCK, 1i32.to_ne_bytes().to_vec()));
    }
    Ok(options)
}

/// The options of a UNIX socket without those that one of its type has from the start, on every machine: a tree may have thousands of
/// them. Only for one that restore makes by socket(2) or socketpair(2): one that was accepted has options of its listener.
pub(crate) fn unusual_options(
    seen: &Descriptor<'_>,
    kind: i32,
) -> floe_sys::Result<Vec<SocketOption>> {
    options_beside(Some(kind), seen, &[])
}

fn usual(kind: i32) -> floe_sys::Result<Usual> {
    static USUAL: Mutex<BTreeMap<i32, Usual>> = Mutex::new(BTreeMap::new());
    let mut usual = USUAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Entry::Vacant(place) = usual.entry(kind) {
        let fresh = floe_sys::socket(libc::AF_UNIX, kind, 0)?;
        let value = |name: &i32| socket_option(fresh.as_fd(), libc::SOL_SOCKET, *name, 64).ok();
        place.insert(EVERY.iter().map(value).collect());
    }
    Ok(usual[&kind].clone())
}

/// Values of the options in [`EVERY`].
type Usual = Arc<[Option<Vec<u8>>]>;

/// Options of every socket that are carried.
pub(crate) const EVERY: &[i32] = &[
    libc::SO_REUSEADDR,
    libc::SO_REUSEPORT,
    libc::SO_KEEPALIVE,
    libc::SO_BROADCAST,
    libc::SO_OOBINLINE,
    libc::SO_LINGER,
    libc::SO_RCVLOWAT,
    libc::SO_RCVTIMEO,
    libc::SO_SNDTIMEO,
    libc::SO_PRIORITY,
    libc::SO_MARK,
    libc::SO_BINDTODEVICE,
    libc::SO_PASSCRED,
    libc::SO_TIMESTAMP,
    libc::SO_TIMESTAMPNS,
    libc::SO_DONTROUTE,
    libc::SO_RXQ_OVFL,
    libc::SO_PASSSEC,
    libc::SO_PEEK_OFF,
    libc::SO_NO_CHECK,
    libc::SO_TIMESTAMPING,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPING_NEW,
    libc::SO_WIFI_STATUS,
    libc::SO_NOFCS,
    libc::SO_SELECT_ERR_QUEUE,
    libc::SO_BUSY_POLL,
    libc::SO_PREFER_BUSY_POLL,
    libc::SO_BUSY_POLL_BUDGET,
    libc::SO_MAX_PACING_RATE,
    libc::SO_INCOMING_CPU,
    libc::SO_ZEROCOPY,
    SO_RESERVE_MEM,
    SO_TXREHASH,
    SO_RCVMARK,
    SO_PASSPIDFD,
    SO_RCVPRIORITY,
    SO_PASSRIGHTS,
    SO_INQ,
];

// Of include/uapi/asm-generic/socket.h; older kernels know some of them not.
const SO_TIMESTAMP_NEW: i32 = 63;
const SO_TIMESTAMPNS_NEW: i32 = 64;
const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_RESERVE_MEM: i32 = 73;
const SO_TXREHASH: i32 = 74;
const SO_RCVMARK: i32 = 75;
const SO_PASSPIDFD: i32 = 76;
const SO_RCVPRIORITY: i32 = 82;
const SO_PASSRIGHTS: i32 = 83;
const SO_INQ: i32 = 84;

/// Options that every socket has and that do nothing to a UNIX socket (or, as SO_TIMESTAMPING_NEW, come with one that is asked
/// for): a tree may have thousands of those, and each option costs a call.
pub(crate) const NOTHING_TO_UNIX: [i32; 15] =
    [1, 11, 41, 43, 45, 46, 47, 60, 61, 65, 69, 73, 74, 75, 82];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_set_is_left() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let set = |name, value: i32| {
            let bytes = value.to_ne_bytes();
            floe_sys::set_socket_option(socket.as_fd(), libc::SOL_SOCKET, name, &bytes).unwrap();
        };
        set(libc::SO_PASSCRED, 1);
        // The size of a buffer stands for one that was set by hand.
        set(libc::SO_RCVBUF, 10_000);
        let usual = usual(libc::SOCK_STREAM).unwrap();
        let options = asked(socket.as_fd(), (true, &usual), &[]);
        let names: Vec<i32> = options.iter().map(|option| option.name).collect();
        assert_eq!(names, [libc::SO_PASSCRED, libc::SO_RCVBUF]);
    }
}
