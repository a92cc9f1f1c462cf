//! UNIX sockets that are connected with each other, and connections of TCP.

use super::Found;
use crate::Machine;
use floe_records::*;
use std::collections::{BTreeMap, BTreeSet};

/// SOCK_DGRAM.
const DATAGRAMS: u32 = 2;
/// Numbers of capabilities, and their names.
const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
const NET_RAW: (u32, &str) = (13, "CAP_NET_RAW");

/// Each connection has a socket, each connected socket its connection, and restore has the right to make it.
pub(super) fn connections(tree: &Tree, machine: &Machine, found: &mut Found) {
    let all = tree.all::<TcpSocket>().iter().filter(|it| it.socket.is_connection());
    let mut sockets: BTreeMap<u64, &TcpSocket> = BTreeMap::new();
    for it in all {
        let mut refuse = |problem: &str| {
            found.add(|| Finding::about(tree.describe(it.file), "plan.tcp", problem));
        };
        if it.socket.name.0.is_empty() {
            refuse("it is connected and has no address");
        }
        if sockets.insert(it.socket.ino, it).is_some() {
            refuse("another connection has its inode");
        }
        if tree.get::<TcpConnection>(it.socket.ino).is_none() {
            refuse("its connection is not in the stream");
        }
    }
    for it in tree.all::<TcpConnection>() {
        let object = || match sockets.get(&it.ino) {
            Some(socket) => tree.describe(socket.file),
            None => format!("the connection of socket {}", it.ino),
        };
        if !sockets.contains_key(&it.ino) {
            found.add(|| Finding::about(object(), "plan.tcp", "its socket is not in the stream"));
        }
        // The end of the peer's data, or its acknowledgement of ours, is a segment that restore makes.
        let raw = it.peer_has_ended() || it.state == TcpConnection::FIN_WAIT2;
        for (number, name) in [Some(NET_ADMIN), raw.then_some(NET_RAW)].into_iter().flatten() {
            if machine.capabilities >> number & 1 == 0 {
                let problem = format!("a TCP connection comes back only with {name}");
                let finding = Finding::about(object(), "plan.tcp", problem);
                found.add(|| finding.hint("run restore as root"));
            }
        }
    }
}

pub(super) fn check(tree: &Tree, found: &mut Found) {
    let mut by_inode: BTreeMap<u64, &UnixSocket> = BTreeMap::new();
    let mut refuse = |socket: &UnixSocket, problem: &str| {
        found.add(|| Finding::about(tree.describe(socket.file), "plan.unix", problem));
    };
    for socket in tree.all::<UnixSocket>() {
        if by_inode.insert(socket.ino, socket).is_some() || socket.ino == 0 {
            refuse(socket, "another socket has its inode, or it has none");
        }
    }
    let mut waiting = BTreeSet::new();
    for (socket, ino) in
        tree.all::<UnixSocket>().iter().flat_map(|it| it.waiting.iter().map(move |ino| (it, ino)))
    {
        let client = by_inode.get(ino).filter(|client| {
            client.peer == Some(0)
                && client.sock_type == socket.sock_type
                && client.backlog.is_none()
        });
        let queued = tree.get::<SocketQueue>(*ino).is_some_and(|queue| !queue.messages.is_empty());
        if client.is_none() || !waiting.insert(*ino) || queued {
            refuse(socket, "what waits for it is no socket that has just connected");
        }
    }
    let sockets: BTreeSet<u64> = by_inode.keys().copied().collect();
    for queue in tree.all::<SocketQueue>().iter().filter(|queue| !queue.carried.is_empty()) {
        if !sockets.contains(&queue.ino) {
            let object = format!("what is queued in socket {}", queue.ino);
            found.add(|| Finding::about(object, "plan.unix", "its socket is not in the stream"));
        }
    }
    let mut refuse = |socket: &UnixSocket, problem: &str| {
        found.add(|| Finding::about(tree.describe(socket.file), "plan.unix", problem));
    };
    for socket in tree.all::<UnixSocket>() {
        // 0: the peer has gone.
        let Some(ino) = socket.peer.filter(|ino| *ino != 0) else { continue };
        match by_inode.get(&ino) {
            None => refuse(socket, "its peer is not in the stream"),
            Some(peer) if peer.sock_type != socket.sock_type => {
                refuse(socket, "its peer is of another type");
            }
            Some(peer) if peer.peer == Some(socket.ino) => {}
            // Many may send to one that is connected to none, or to another.
            Some(peer) if socket.sock_type == DATAGRAMS && !peer.name.0.is_empty() => {}
            Some(_) => refuse(socket, "its peer has another peer"),
        }
    }
}
