//! TCP sockets.

use crate::{
    connection,
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_netlock::{Connection, Network, new_id};
use floe_records::{OpenFile, TcpConnection, TcpSocket};
use floe_sys::{Error, Result};
use std::{collections::BTreeSet, os::fd::OwnedFd, sync::PoisonError};

impl ForFile for TcpSocket {
    /// Locks the network of all connections: what is sent in the midst of their making would be answered, or lost.
    fn prepare(make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
        let all = make.tree.all::<TcpSocket>().iter().filter(|it| it.socket.is_connection());
        let Some(first) = all.clone().next() else { return };
        let known = all.filter_map(|it| Connection::of(&it.socket.name.0, &it.socket.peer.0));
        let known: BTreeSet<Connection> = known.collect();
        match make.within(first.file, || Network::here()?.hold(new_id()?, &known)) {
            Ok(held) => {
                *make.lock.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(held);
            }
            Err(error) => report("TCP connections".into(), error),
        }
    }

    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (tree, socket) = (make.tree, &self.socket);
        let (fd, notes) = if socket.is_connection() {
            let gone = || Error::because("make a connection", "it is not in the stream");
            let connection = tree.get::<TcpConnection>(socket.ino).ok_or_else(gone)?;
            make.within(self.file, || connection::make(socket, connection))?
        } else {
            let shares = make.tcp_ports.shares(&socket.name);
            make.within(self.file, || inet::tcp(socket, libc::IPPROTO_TCP, shares))?
        };
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
