//! What all sockets have.

use floe_records::SocketOption;
use floe_sys::{Error, Result, attach_filter, set_socket_option, socket_option};
use nix::sys::socket::{Shutdown, shutdown};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    slice,
};

pub(crate) const IS_SET: [u8; 4] = 1i32.to_ne_bytes();

/// Longest value of an option.
const LONGEST: usize = 64;

/// Options of UNIX sockets that have just been made, by type, level and name: a tree may have thousands of them, and few
/// options that are not as they were from the start.
#[derive(Debug, Default)]
pub(crate) struct FreshOptions(BTreeMap<(u32, i32, i32), Option<Vec<u8>>>);

impl FreshOptions {
    /// Sets the options of a socket of type `kind` that has just been made, and was not accepted: that one has some of its
    /// listener. As [`set_unix_options`], without its filter.
    pub fn set(&mut self, kind: u32, fd: &OwnedFd, options: &[SocketOption]) -> Result<()> {
        let key = |o: &SocketOption| (kind, o.level, o.name);
        // All are asked for before the first is set, which may change another one.
        for o in options.iter().filter(|o| is_plain(o)) {
            let ask = || socket_option(fd.as_fd(), o.level, o.name, LONGEST).ok();
            self.0.entry(key(o)).or_insert_with(ask);
        }
        let same = |o: &&SocketOption| {
            let fresh = self.0.get(&key(o)).and_then(Option::as_ref);
            fresh.is_some_and(|fresh| *fresh == o.value.0) && !is_buffer(o)
        };
        let wanted = options.iter().filter(|o| is_plain(o) && !same(o));
        wanted.into_iter().try_for_each(|o| set(fd, o))
    }
}

/// Sets the options that a socket does not have as they were.
pub(crate) fn set_options(fd: &OwnedFd, options: &[SocketOption]) -> Result<()> {
    let differs = |o: &&SocketOption| is_buffer(o) || !has(fd, (o.level, o.name), &o.value.0);
    options.iter().filter(differs).try_for_each(|o| set(fd, o))
}

/// Of a UNIX socket: what is just set.
fn is_plain(o: &SocketOption) -> bool {
    !o.is_filter() && !o.is_caller()
}

/// The same for a UNIX socket, but for its filter: what was queued in it has been through that already.
pub(crate) fn set_unix_options(fd: &OwnedFd, options: &[SocketOption]) -> Result<()> {
    let some: Vec<SocketOption> = options.iter().filter(|o| is_plain(o)).cloned().collect();
    set_options(fd, &some)
}

/// Sets the filter of a socket, and locks it, as far as it had one and was locked.
pub(crate) fn set_filter(fd: &OwnedFd, options: &[SocketOption]) -> Result<()> {
    options.iter().filter(|o| o.is_filter()).try_for_each(|o| set_options(fd, slice::from_ref(o)))
}

/// The same for sockets of the internet. Most options below the socket itself only tune what a protocol does: those that cannot be
/// set here are named in the result.
pub(crate) fn set_inet_options(fd: &OwnedFd, options: &[SocketOption]) -> Result<Vec<String>> {
    const STRICT: [(i32, i32); 3] = [
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        (libc::IPPROTO_IP, libc::IP_FREEBIND),
        (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    ];
    let mut notes = Vec::new();
    for option in options {
        let strict = option.level == libc::SOL_SOCKET;
        let strict = strict || STRICT.contains(&(option.level, option.name));
        match set_options(fd, slice::from_ref(option)) {
            Err(error) if !strict => notes.push(error.to_string()),
            done => done?,
        }
    }
    Ok(notes)
}

/// Sets one option if it differs.
pub(crate) fn option(fd: &OwnedFd, (level, name): (i32, i32), value: &[u8]) -> Result<()> {
    if has(fd, (level, name), value) {
        return Ok(());
    }
    set_socket_option(fd.as_fd(), level, name, value)
}

fn has(fd: &OwnedFd, (level, name): (i32, i32), value: &[u8]) -> bool {
    let now = socket_option(fd.as_fd(), level, name, LONGEST);
    now.is_ok_and(|now| now == value)
}

/// The size of a buffer, recorded where it was set by hand: setting it again locks it against the kernel's own tuning.
fn is_buffer(o: &SocketOption) -> bool {
    o.level == libc::SOL_SOCKET && [libc::SO_SNDBUF, libc::SO_RCVBUF].contains(&o.name)
}

fn set(fd: &OwnedFd, option: &SocketOption) -> Result<()> {
    let value = &option.value.0;
    match (option.level, option.name) {
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => buffer(fd, libc::SO_SNDBUFFORCE, value),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => buffer(fd, libc::SO_RCVBUFFORCE, value),
        (libc::SOL_SOCKET, SocketOption::FILTER) => attach_filter(fd.as_fd(), value),
        (level, _) if option.is_group() => join(fd, level, value),
        (level, name) => set_socket_option(fd.as_fd(), level, name, value),
    }
}

/// Makes a socket a member of a multicast group, which is told of as a `struct group_filter`.
fn join(fd: &OwnedFd, level: i32, filter: &[u8]) -> Result<()> {
    const MCAST_JOIN_GROUP: i32 = 42;
    // It begins with the bytes of a `struct group_req`. Mode MCAST_EXCLUDE is 0: without sources that is what everybody is in from
    // the start.
    let (group, sources) = filter.split_at_checked(136).unwrap_or_default();
    set_socket_option(fd.as_fd(), level, MCAST_JOIN_GROUP, group)?;
    if sources.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    set_socket_option(fd.as_fd(), level, SocketOption::GROUP, filter)
}

/// The kernel doubles what is set, and shows the double.
fn buffer(fd: &OwnedFd, name: i32, value: &[u8]) -> Result<()> {
    let size = value.try_into().map_or(0, i32::from_ne_bytes);
    set_socket_option(fd.as_fd(), libc::SOL_SOCKET, name, &(size / 2).to_ne_bytes())
}

/// Shuts it down: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
pub(crate) fn shut(fd: &OwnedFd, how: u8) -> Result<()> {
    let how = match how & 3 {
        0 => return Ok(()),
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        _ => Shutdown::Both,
    };
    match shutdown(fd.as_raw_fd(), how) {
        // Of a UNIX socket there is nothing to shut; an internet socket is shut and says so all the same.
        Ok(()) | Err(nix::Error::ENOTCONN) => Ok(()),
        Err(e) => Err(Error::new("shut a socket down", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::Bytes;

    #[test]
    fn only_what_differs_from_a_fresh_socket_is_set() {
        let kind = libc::SOCK_STREAM as u32;
        let socket = || floe_sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
        let value = |fd: &OwnedFd, name| {
            socket_option(fd.as_fd(), libc::SOL_SOCKET, name, LONGEST).unwrap()
        };
        let first = socket();
        let buffer = value(&first, libc::SO_RCVBUF);
        let option = |name, value: &[u8]| SocketOption {
            level: libc::SOL_SOCKET,
            name,
            value: Bytes(value.to_vec()),
        };
        let given = [
            option(libc::SO_PASSCRED, &IS_SET),
            option(libc::SO_KEEPALIVE, &[0; 4]),
            option(libc::SO_RCVBUF, &buffer),
        ];
        let mut fresh = FreshOptions::default();
        for fd in [&first, &socket()] {
            fresh.set(kind, fd, &given).unwrap();
            assert_eq!(value(fd, libc::SO_PASSCRED), IS_SET);
            assert_eq!(value(fd, libc::SO_KEEPALIVE), [0; 4]);
            assert_eq!(value(fd, libc::SO_RCVBUF), buffer);
            // SO_BUF_LOCK: the receive buffer has been set by hand.
            assert_eq!(value(fd, 72), 2i32.to_ne_bytes());
        }
    }
}
