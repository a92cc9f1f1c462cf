//! Netlink sockets.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
    socket::set_options,
};
use floe_records::{NetlinkSocket, OpenFile};
use floe_sys::{Error, Result, bind_raw, connect_raw, set_socket_option, socket};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for NetlinkSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        with_status(make.within(self.file, || made(self))?, open)
    }
}

/// Makes one where it belongs. Its filter stands before any message comes.
fn made(it: &NetlinkSocket) -> Result<OwnedFd> {
    let fd = socket(libc::AF_NETLINK, it.sock_type as i32, it.protocol as i32)?;
    set_options(&fd, &it.options)?;
    if it.port != 0 {
        bind_raw(fd.as_fd(), &address(it.port, 0)).map_err(|e| {
            let doing = format!("bind a netlink socket to its number {}", it.port);
            Error::because(doing, e.cause().to_string())
        })?;
    }
    for group in &it.groups {
        let value = group.to_ne_bytes();
        set_socket_option(fd.as_fd(), libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &value)
            .map_err(|e| {
                let doing = format!("join group {group} of netlink family {}", it.protocol);
                Error::because(doing, e.cause().to_string())
            })?;
    }
    if let Some((port, groups)) = it.peer {
        connect_raw(fd.as_fd(), &address(port, groups))?;
    }
    Ok(fd)
}

/// `struct sockaddr_nl`.
fn address(port: u32, groups: u32) -> Vec<u8> {
    let family = u32::from(libc::AF_NETLINK as u16).to_ne_bytes();
    [family, port.to_ne_bytes(), groups.to_ne_bytes()].concat()
}
