//! What all sockets have.

use floe_records::SocketOption;
use floe_sys::{Result, set_socket_option, socket_option};
use std::os::fd::{AsFd, OwnedFd};

pub(crate) const IS_SET: [u8; 4] = 1i32.to_ne_bytes();

/// Sets the options that a fresh socket does not have as they were.
pub(crate) fn set_options(fd: &OwnedFd, options: &[SocketOption]) -> Result<()> {
    for o in options {
        match (o.level, o.name) {
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => buffer(fd, libc::SO_SNDBUFFORCE, &o.value.0)?,
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => buffer(fd, libc::SO_RCVBUFFORCE, &o.value.0)?,
            place => option(fd, place, &o.value.0)?,
        }
    }
    Ok(())
}

/// Sets one option if it differs.
pub(crate) fn option(fd: &OwnedFd, (level, name): (i32, i32), value: &[u8]) -> Result<()> {
    let now = socket_option(fd.as_fd(), level, name, 64);
    if now.is_ok_and(|now| now == value) {
        return Ok(());
    }
    set_socket_option(fd.as_fd(), level, name, value)
}

/// The kernel doubles what is set, and tells the double.
fn buffer(fd: &OwnedFd, name: i32, value: &[u8]) -> Result<()> {
    let size = value.try_into().map_or(0, i32::from_ne_bytes);
    set_socket_option(fd.as_fd(), libc::SOL_SOCKET, name, &(size / 2).to_ne_bytes())
}
