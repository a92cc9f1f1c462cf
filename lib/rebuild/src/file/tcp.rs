//! TCP sockets.

use crate::{
    connection,
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_netlock::{Connection, Held, Network, new_id};
use floe_records::{OpenFile, TcpConnection, TcpSocket, Tree};
use floe_sys::{Error, Result};
use std::{collections::BTreeSet, os::fd::OwnedFd, sync::PoisonError};

/// The connections of a tree.
fn connections(tree: &Tree) -> BTreeSet<Connection> {
    let all = tree.all::<TcpSocket>().iter().filter(|it| it.socket.is_connection());
    all.filter_map(|it| Connection::of(&it.socket.name.0, &it.socket.peer.0)).collect()
}

/// Locks the network that restore has made and is in, before it has an interface: a peer that tries again would be told that there is
/// no such connection.
pub(crate) fn early_lock(tree: &Tree) -> Result<Option<Held>> {
    let known = connections(tree);
    if known.is_empty() {
        return Ok(None);
    }
    Network::here()?.hold(new_id()?, &known).map(Some)
}

impl ForFile for TcpSocket {
    /// Locks the network of all connections: what is sent in the midst of their making would be answered, or lost.
    fn prepare(make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
        let known = connections(make.tree);
        let mut all = make.tree.all::<TcpSocket>().iter().filter(|it| it.socket.is_connection());
        let Some(first) = all.next() else { return };
        let held = match make.stands.early_lock.take() {
            Some(held) => Ok(held),
            None => make.within(first.file, || Network::here()?.hold(new_id()?, &known)),
        };
        match held {
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
