//! UDP sockets.

use crate::{
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_records::{OpenFile, UdpSocket};
use floe_sys::Result;
use std::os::fd::OwnedFd;

const UDP: (i32, i32) = (libc::SOCK_DGRAM, libc::IPPROTO_UDP);

impl ForFile for UdpSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (socket, shares) = (&self.socket, make.udp_ports.shares(&self.socket.name));
        let made = make.filled.remove(&socket.ino);
        let (fd, notes) = make.within(self.file, || inet::datagram(socket, UDP, shares, made))?;
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
