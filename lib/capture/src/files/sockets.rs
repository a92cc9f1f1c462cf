//! Sockets: which kinds can be had, and what all of them have.

use super::{inet, unix};
use floe_records::{Bytes, FileKind, SocketOption};
use floe_sys::socket_option;
use std::os::fd::BorrowedFd;

/// SO_BUF_LOCK: which buffer sizes were set by hand (SOCK_SNDBUF_LOCK 1, SOCK_RCVBUF_LOCK 2).
const SO_BUF_LOCK: i32 = 72;

/// How a socket is found: owner and name, whether a connection may be given up.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketRules {
    /// Capture an established TCP connection as one that has been closed.
    pub close_tcp: bool,
}

/// Why a socket cannot be captured, and what can be done.
pub(crate) type Problem = (String, &'static str);

pub(super) fn number(fd: BorrowedFd<'_>, level: i32, name: i32) -> Result<i32, Problem> {
    let value = socket_option(fd, level, name, 4).map_err(|e| (e.to_string(), ""))?;
    Ok(value.try_into().map_or(0, i32::from_ne_bytes))
}

/// Describes a socket through a duplicate.
pub(crate) fn socket(
    pid: u32,
    ino: u64,
    fd: BorrowedFd<'_>,
    rules: SocketRules,
) -> Result<FileKind, Problem> {
    let family = number(fd, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
    let kind = number(fd, libc::SOL_SOCKET, libc::SO_TYPE)?;
    let protocol = number(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)?;
    match (family, kind, protocol) {
        (libc::AF_UNIX, ..) => unix::unix(pid, ino, fd, kind as u32).map(FileKind::Unix),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP) => {
            inet::tcp(ino, fd, family as u32, rules.close_tcp).map(FileKind::Tcp)
        }
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP) => {
            inet::udp(ino, fd, family as u32).map(FileKind::Udp)
        }
        _ => Err((format!("sockets of family {family}, type {kind} cannot be captured"), "")),
    }
}

/// The options of a socket: those of `list`, those of every socket, and buffer sizes that were set by hand.
pub(super) fn options(fd: BorrowedFd<'_>, list: &[(i32, i32)]) -> Vec<SocketOption> {
    let mut options = Vec::new();
    let mut take = |level: i32, name: i32| {
        // One that this kind of socket does not have is none of it.
        if let Ok(value) = socket_option(fd, level, name, 64) {
            options.push(SocketOption { level, name, value: Bytes(value) });
        }
    };
    let every = EVERY.iter().map(|name| (libc::SOL_SOCKET, *name));
    every.chain(list.iter().copied()).for_each(|(level, name)| take(level, name));
    let locked = number(fd, libc::SOL_SOCKET, SO_BUF_LOCK).unwrap_or(0);
    for (bit, name) in [(1, libc::SO_SNDBUF), (2, libc::SO_RCVBUF)] {
        if locked & bit != 0 {
            take(libc::SOL_SOCKET, name);
        }
    }
    options
}

const EVERY: &[i32] = &[
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
];
