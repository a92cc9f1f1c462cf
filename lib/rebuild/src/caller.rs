//! Who made a UNIX socket, as its peer is told: listen(2), connect(2) and socketpair(2) are called by somebody who is the same.

use floe_records::{SocketOption, UnixSocket};
use floe_sys::{Call, Caller, Error, Result, call_as, connect_raw, listen, socket, socket_option};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsFd, OwnedFd};

/// Who made the peer of a socket, or the listener that it is; `None` where that is us, or was never asked for.
pub(crate) fn caller(it: &UnixSocket) -> Option<Caller> {
    let value = |name| {
        let found = it.options.iter().find(|o| o.is_caller() && o.name == name);
        found.map(|o| words(&o.value.0))
    };
    let [pid, uid, gid] = value(SocketOption::PEER)?[..] else { return None };
    let groups = value(SocketOption::PEER_GROUPS).unwrap_or_default();
    Some(Caller { pid, uid, gid, groups })
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_ne_bytes)).collect()
}

/// listen(2) of the one who has called it.
pub(crate) fn listen_as(it: Option<&Caller>, fd: &OwnedFd, backlog: u32) -> Result<()> {
    match it.map(|it| call_as(it, Call::Listen(fd.as_fd(), backlog))) {
        Some(Ok(())) => Ok(()),
        // What differs then is told when the socket is there.
        _ => listen(fd.as_fd(), backlog),
    }
}

/// connect(2) of the one who has called it.
pub(crate) fn connect_as(it: Option<&Caller>, fd: &OwnedFd, to: &[u8]) -> Result<()> {
    match it.map(|it| call_as(it, Call::Connect(fd.as_fd(), to))) {
        Some(Ok(())) => Ok(()),
        _ => connect_raw(fd.as_fd(), to),
    }
}

/// socketpair(2) of the one who has called it.
pub(crate) fn pair_as(it: Option<&Caller>, kind: SockType) -> Result<(OwnedFd, OwnedFd)> {
    if let Some(it) = it {
        let place = || socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let pair = (place()?, place()?);
        let at = [pair.0.as_fd(), pair.1.as_fd()];
        if call_as(it, Call::Pair(kind as i32, at)).is_ok() {
            return Ok(pair);
        }
    }
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|e| Error::new("make a pair of sockets", e))
}

/// Whose doing a socket is, if that is another user, or one of other groups, than it was.
pub(crate) fn differs(it: &UnixSocket, fd: &OwnedFd) -> Option<String> {
    let was = caller(it)?;
    let value = |name, room| socket_option(fd.as_fd(), libc::SOL_SOCKET, name, room);
    let now = words(&value(SocketOption::PEER, 12).unwrap_or_default());
    let groups = words(&value(SocketOption::PEER_GROUPS, 256 << 10).unwrap_or_default());
    let same = now.get(1..) == Some(&[was.uid, was.gid]) && groups == was.groups;
    let (uid, gid) = (was.uid, was.gid);
    (!same).then(|| format!("its option SO_PEERCRED (user {uid}, group {gid}) is not as it was"))
}

/// What is told of such a socket in a pid namespace below that of the root, which the caller in our place is not in.
pub(crate) fn nameless_inside(it: &UnixSocket) -> Option<String> {
    let named = caller(it).is_some_and(|was| was.pid != 0);
    named.then(|| "its option SO_PEERCRED names no process in its pid namespace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_records::{Bytes, FileId, Pid};

    fn of(uid: u32, gid: u32) -> UnixSocket {
        let option = |name, words: &[u32]| {
            let value = Bytes(words.iter().flat_map(|word| word.to_ne_bytes()).collect());
            SocketOption { level: libc::SOL_SOCKET, name, value }
        };
        UnixSocket {
            file: FileId(0),
            pid: Pid(1),
            ino: 1,
            sock_type: libc::SOCK_STREAM as u32,
            name: Bytes::default(),
            peer: None,
            peer_name: Bytes::default(),
            node: None,
            links: Vec::new(),
            backlog: None,
            waiting: Vec::new(),
            shutdown: 0,
            options: vec![
                option(SocketOption::PEER, &[0, uid, gid]),
                option(SocketOption::PEER_GROUPS, &[5, 6]),
            ],
        }
    }

    #[test]
    fn a_pair_of_another_user_is_one() {
        let it = of(4243, 4242);
        let ours = pair_as(None, SockType::Stream).unwrap();
        let told = differs(&it, &ours.0).expect("it is ours");
        assert_eq!(told, "its option SO_PEERCRED (user 4243, group 4242) is not as it was");
        let made = pair_as(caller(&it).as_ref(), SockType::Stream).unwrap();
        if nix::unistd::geteuid().is_root() {
            assert_eq!((differs(&it, &made.0), differs(&it, &made.1)), (None, None));
        }
        // It was made by us where it could not be made by them, and is connected in any case.
        nix::unistd::write(&made.0, b"x").unwrap();
        assert_eq!(nix::unistd::read(&made.1, &mut [0; 2]), Ok(1));
    }
}
