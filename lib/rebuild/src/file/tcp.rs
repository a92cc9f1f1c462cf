//! TCP sockets.

use crate::{
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_records::{OpenFile, TcpSocket};
use floe_sys::Result;
use std::os::fd::OwnedFd;

impl ForFile for TcpSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (socket, shares) = (&self.socket, make.tcp_ports.shares(&self.socket.name));
        let (fd, notes) = make.within(self.file, || inet::tcp(socket, shares))?;
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
