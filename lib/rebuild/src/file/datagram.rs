//! Sockets of the internet that carry messages and are none of UDP.

use crate::{
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_records::{DatagramSocket, OpenFile};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for DatagramSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (socket, shares) = (&self.socket, make.udp_ports.shares(&self.socket.name));
        let kind = (self.sock_type as i32, self.protocol as i32);
        let made = make.filled.remove(&socket.ino);
        let (fd, notes) = make.within(self.file, || inet::datagram(socket, kind, shares, made))?;
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
