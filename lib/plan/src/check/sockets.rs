//! UNIX sockets that are connected with each other.

use super::Found;
use floe_records::*;
use std::collections::BTreeMap;

/// SOCK_DGRAM.
const DATAGRAMS: u32 = 2;

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
