//! Sockets of Multipath TCP.

use crate::{
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_records::{MptcpSocket, OpenFile};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for MptcpSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (socket, shares) = (&self.socket, make.tcp_ports.shares(&self.socket.name));
        let make_one = || inet::tcp(socket, libc::IPPROTO_MPTCP, shares);
        let (fd, notes) = make.within(self.file, make_one)?;
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
