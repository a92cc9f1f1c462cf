//! What a socket says of itself.

use crate::{Error, Result, check};
use std::os::fd::{AsRawFd, BorrowedFd};

/// getsockopt(2): the option's value, at most `room` bytes.
pub fn socket_option(fd: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> Result<Vec<u8>> {
    let mut value = vec![0u8; room];
    let mut len = room as libc::socklen_t;
    let at = value.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` bytes to the exclusively borrowed `value`.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, at, &mut len) } as i64)
        .map_err(|e| Error::new(format!("read socket option {level}/{name}"), e))?;
    value.truncate(len as usize);
    Ok(value)
}

/// setsockopt(2).
pub fn set_socket_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<()> {
    let (at, len) = (value.as_ptr().cast(), value.len() as libc::socklen_t);
    // SAFETY: the kernel reads `len` bytes of `value`.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at, len) } as i64)
        .map_err(|e| Error::new(format!("set socket option {level}/{name}"), e))
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
