//! TCP sockets.

use crate::{
    connection,
    factory::{Factory, with_status},
    inet,
    resource::ForFile,
};
use floe_netlock::{Connection, Held, Network, new_id};
use floe_records::{
    FileId, Namespaces, NsId, OpenFile, SocketSpace, TcpConnection, TcpSocket, Tree,
};
use floe_sys::{Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{BorrowedFd, OwnedFd},
    sync::PoisonError,
};

/// The connections of a tree by their network namespaces, each with the first socket of it.
fn connections(tree: &Tree) -> BTreeMap<NsId, (FileId, BTreeSet<Connection>)> {
    let mut all: BTreeMap<_, (FileId, BTreeSet<_>)> = BTreeMap::new();
    for it in tree.all::<TcpSocket>().iter().filter(|it| it.socket.is_connection()) {
        let known = all.entry(space_of(tree, it.file)).or_insert((it.file, BTreeSet::new()));
        known.1.extend(Connection::of(&it.socket.name.0, &it.socket.peer.0));
    }
    all
}

/// The network namespace that a socket belongs to.
fn space_of(tree: &Tree, file: FileId) -> NsId {
    let holder =
        || tree.holder(file).map(|it| it.0).or(tree.get::<OpenFile>(file).map(|it| it.pid));
    let members = || holder().and_then(|pid| tree.get::<Namespaces>(pid));
    let own = tree.get::<SocketSpace>(file).map(|it| it.namespace);
    own.or_else(|| members().map(|it| it.net)).unwrap_or_default()
}

/// Locks a network namespace that restore has made, our own or `space`, before it has an interface: a peer that tries again would be told
/// that there is no such connection.
pub(crate) fn lock(tree: &Tree, id: NsId, space: Option<BorrowedFd<'_>>) -> Result<Option<Held>> {
    let Some((_, known)) = connections(tree).remove(&id) else { return Ok(None) };
    let hold = || Network::here()?.hold(new_id()?, &known);
    let held = match space {
        Some(space) => floe_sys::apart_in(space, "network", hold),
        None => hold(),
    };
    held.map(Some)
}

impl ForFile for TcpSocket {
    /// Locks the networks of all connections: what is sent in the midst of their making would be answered, or lost.
    fn prepare(make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
        for (id, (first, known)) in connections(make.tree) {
            let held = match make.stands.take_lock(id) {
                Some(held) => Ok(held),
                None => make.within(first, || Network::here()?.hold(new_id()?, &known)),
            };
            match held {
                Ok(held) => {
                    make.locks.get_mut().unwrap_or_else(PoisonError::into_inner).push(held);
                }
                Err(error) => report("TCP connections".into(), error),
            }
        }
    }

    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let (tree, socket) = (make.tree, &self.socket);
        let (fd, notes) = if socket.is_connection() {
            let gone = || Error::because("make a connection", "it is not in the stream");
            let connection = tree.get::<TcpConnection>(socket.ino).ok_or_else(gone)?;
            make.within(self.file, || connection::make(socket, connection, &make.own_traffic))?
        } else {
            let shares = make.tcp_ports.shares(&socket.name);
            make.within(self.file, || inet::tcp(socket, libc::IPPROTO_TCP, shares))?
        };
        make.note(self.file, notes);
        with_status(fd, open)
    }
}
