//! Packet sockets.

use crate::{
    factory::{Factory, with_status},
    resource::ForFile,
    socket::set_options,
};
use floe_records::{OpenFile, PacketMembership, PacketSocket};
use floe_sys::{Error, Result, bind_raw, set_socket_option, socket};
use std::os::fd::{AsFd, OwnedFd};

impl ForFile for PacketSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        with_status(make.within(self.file, || made(self))?, open)
    }
}

/// Makes one where it belongs. Without a protocol it gets nothing until it is bound, when its filter is there.
fn made(it: &PacketSocket) -> Result<OwnedFd> {
    let fd = socket(libc::AF_PACKET, it.sock_type as i32, 0)?;
    set_options(&fd, &it.options)?;
    if it.protocol != 0 || it.interface != 0 {
        bind_raw(fd.as_fd(), &address(it)).map_err(|e| {
            let doing = format!("bind a packet socket to interface {}", it.interface);
            Error::because(doing, e.cause().to_string())
        })?;
    }
    for membership in &it.memberships {
        let request = request(membership);
        for _ in 0..membership.count {
            set_socket_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)?;
        }
    }
    if let Some(fanout) = it.fanout {
        set_socket_option(
            fd.as_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            &fanout.to_ne_bytes(),
        )?;
    }
    Ok(fd)
}

/// `struct sockaddr_ll`.
fn address(it: &PacketSocket) -> Vec<u8> {
    let (family, protocol) = (libc::AF_PACKET as u16, it.protocol as u16);
    let mut address = [family.to_ne_bytes(), protocol.to_be_bytes()].concat();
    address.extend(it.interface.to_ne_bytes());
    address.extend([0; 12]);
    address
}

/// `struct packet_mreq`, with room for the longest address.
fn request(it: &PacketMembership) -> Vec<u8> {
    let mut request = it.interface.to_ne_bytes().to_vec();
    request.extend(
        [(it.kind as u16).to_ne_bytes(), (it.address.0.len() as u16).to_ne_bytes()].concat(),
    );
    request.extend(&it.address.0);
    request.resize(8 + 8.max(it.address.0.len()), 0);
    request
}
