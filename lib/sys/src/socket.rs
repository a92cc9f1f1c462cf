//! Sockets: options, addresses, queues.

use crate::{Error, Result, check, descriptors::made};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Level and name of options whose value has addresses in it, through which the kernel would reach any memory of ours, and
/// of those whose length is not in bytes.
const UNSAFE_OPTIONS: [(i32, i32); 6] = [
    // Of a filter the length is counted in instructions of eight bytes.
    (libc::SOL_SOCKET, libc::SO_GET_FILTER),
    (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF),
    // The tables of iptables, arptables, ebtables and ip6tables (XT_BASE_CTL and its kin).
    (libc::IPPROTO_IP, 64),
    (libc::IPPROTO_IP, 96),
    (libc::IPPROTO_IP, 128),
    (libc::IPPROTO_IPV6, 64),
];

fn check_option(level: i32, name: i32) -> std::io::Result<()> {
    let refused = UNSAFE_OPTIONS.contains(&(level, name));
    if refused { Err(std::io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(()) }
}

/// getsockopt(2): the option's value, at most `room` bytes. EINVAL for options whose value has addresses in it.
pub fn socket_option(fd: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> Result<Vec<u8>> {
    let mut value = vec![0u8; room];
    let len = read_option(fd, (level, name), &mut value);
    let len = len.map_err(|e| Error::new(format!("read socket option {level}/{name}"), e))?;
    value.truncate(len);
    Ok(value)
}

/// The same, into a buffer; `None` for an option that the socket does not have.
pub fn short_socket_option<'a>(
    fd: BorrowedFd<'_>,
    option: (i32, i32),
    value: &'a mut [u8],
) -> Option<&'a [u8]> {
    let len = read_option(fd, option, value).ok()?;
    value.get(..len)
}

fn read_option(
    fd: BorrowedFd<'_>,
    (level, name): (i32, i32),
    value: &mut [u8],
) -> std::io::Result<usize> {
    check_option(level, name)?;
    let mut len = value.len() as libc::socklen_t;
    let at = value.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` bytes to the exclusively borrowed `value`.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, at, &mut len) } as i64)?;
    Ok(len as usize)
}

/// setsockopt(2). EINVAL for options whose value has addresses in it.
pub fn set_socket_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
    let fail = |e| Error::new(format!("set socket option {level}/{name}"), e);
    check_option(level, name).map_err(fail)?;
    let (at, len) = (value.as_ptr().cast(), value.len() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes of `value`, which are no addresses.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at, len) } as i64)
        .map_err(fail)
        .map(drop)
}

/// getsockname(2): the address as the kernel lays it out.
pub fn socket_name(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut name = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to the exclusively borrowed `name`.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), name.as_mut_ptr().cast(), &mut len) } as i64)
        .map_err(|e| Error::new("read the address of a socket", e))?;
    name.truncate(len as usize);
    Ok(name)
}

/// bind(2) to an address as [`socket_name`] gives it.
pub fn bind_raw(fd: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (at, len) = (name.as_ptr().cast(), name.len() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes of `name`.
    check(unsafe { libc::bind(fd.as_raw_fd(), at, len) } as i64)
        .map_err(|e| Error::new("bind a socket", e))
        .map(drop)
}

/// socket(2), close-on-exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: numbers only.
    made(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) } as i64)
        .map_err(|e| Error::new("make a socket", e))
}

/// getpeername(2); empty for a socket without a peer.
pub fn peer_name(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut name = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut len = name.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to the exclusively borrowed `name`.
    let done = unsafe { libc::getpeername(fd.as_raw_fd(), name.as_mut_ptr().cast(), &mut len) };
    match check(done as i64) {
        Ok(_) => name.truncate(len as usize),
        Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => name.clear(),
        Err(e) => return Err(Error::new("read the peer of a socket", e)),
    }
    Ok(name)
}

/// connect(2) to an address as [`socket_name`] gives it.
pub fn connect_raw(fd: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (at, len) = (name.as_ptr().cast(), name.len() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes of `name`.
    check(unsafe { libc::connect(fd.as_raw_fd(), at, len) } as i64)
        .map_err(|e| Error::new("connect a socket", e))
        .map(drop)
}

/// listen(2).
pub fn listen(fd: BorrowedFd<'_>, backlog: u32) -> Result<()> {
    let backlog = backlog.min(i32::MAX as u32) as i32;
    // SAFETY: numbers only.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) } as i64)
        .map_err(|e| Error::new("listen on a socket", e))
        .map(drop)
}

/// accept4(2), close-on-exec.
pub fn accept(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: no address is asked for.
    made(unsafe { libc::accept4(fd.as_raw_fd(), null, null.cast(), libc::SOCK_CLOEXEC) } as i64)
        .map_err(|e| Error::new("accept a connection", e))
}

/// The cookie of our network namespace, which no other has had since the system was started (SO_NETNS_COOKIE of
/// `asm-generic/socket.h`, Linux 5.14).
///
/// # Errors
/// Where there are no sockets at all.
pub(crate) fn network_cookie() -> Result<u64> {
    const SO_NETNS_COOKIE: i32 = 71;
    let any = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    let value = socket_option(any.as_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, 8)?;
    let wrong =
        |_| Error::because("read the cookie of a network namespace", "it has another length");
    value.try_into().map(u64::from_ne_bytes).map_err(wrong)
}
