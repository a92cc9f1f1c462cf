//! Queues of UNIX sockets that carry descriptors or credentials are filled when all files are open and all processes exist.

use crate::{
    datagrams::{Delivery, Sockets},
    factory::Factory,
    file::unix::connect_all,
    object::socket_queue::{Open, fill, is_late},
    socket::{set_filter, shut},
};
use floe_records::{FileId, SocketQueue, Tree, UnixSocket};
use floe_sys::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

/// What is done then.
#[derive(Default)]
pub(crate) struct Late {
    /// Sockets whose queues are filled then.
    pub queues: BTreeSet<u64>,
    /// All sockets.
    pub sockets: Sockets,
    /// Ends that have been closed since they have sent something, by the socket that it was sent to.
    pub gone: Sockets,
    /// Datagrams to sockets that have been made one by one.
    pub deliveries: Vec<Delivery>,
    /// Datagram sockets, and whom they are connected to: connected only when strangers have sent what they have.
    pub links: Vec<(FileId, FileId)>,
}

impl Late {
    /// Nothing is prepared yet.
    pub fn of(tree: &Tree) -> Self {
        let queues = tree.all::<SocketQueue>().iter().filter(|queue| is_late(queue));
        Self { queues: queues.map(|queue| queue.ino).collect(), ..Self::default() }
    }

    /// Whether the ends of a connection are shut down only then.
    pub fn shuts(&self, a: &UnixSocket, b: &UnixSocket) -> bool {
        self.queues.contains(&a.ino) || self.queues.contains(&b.ino)
    }
}

/// Does all of it.
pub(crate) fn send(make: &Factory<'_>, open: &Open<'_>) -> Result<()> {
    let late = make.late.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(late) = late else { return Ok(()) };
    for delivery in &late.deliveries {
        delivery.send(make, &late.sockets, open)?;
    }
    let delivered: BTreeSet<FileId> = late.deliveries.iter().map(Delivery::to).collect();
    let all = make.tree.all::<UnixSocket>();
    for it in all.iter().filter(|it| !delivered.contains(&it.file)) {
        let queue = make.tree.get::<SocketQueue>(it.ino).filter(|queue| is_late(queue));
        let from = it.peer.and_then(|peer| late.sockets.get(&peer)).or(late.gone.get(&it.ino));
        if let (Some(queue), Some(from), Some(to)) = (queue, from, late.sockets.get(&it.ino)) {
            fill(from, to, queue, open)?;
        }
    }
    let mut failed = Ok(());
    let named = |id: FileId| make.tree.get::<UnixSocket>(id).map(|it| (id, it));
    let links = late.links.iter().filter_map(|(from, to)| Some((named(*from)?, named(*to)?)));
    connect_all(make, &late.sockets, links.collect(), &mut |_, e| failed = Err(e));
    failed?;
    let by_inode: BTreeMap<u64, &UnixSocket> = all.iter().map(|it| (it.ino, it)).collect();
    for it in all {
        let peer = it.peer.and_then(|peer| by_inode.get(&peer));
        let waited = late.shuts(it, peer.unwrap_or(&it));
        if let Some(fd) = late.sockets.get(&it.ino).filter(|_| waited) {
            shut(fd, it.shutdown)?;
        }
    }
    let filled = all.iter().filter(|it| late.queues.contains(&it.ino));
    for (it, fd) in filled.filter_map(|it| Some((it, late.sockets.get(&it.ino)?))) {
        set_filter(fd, &it.options)?;
    }
    Ok(())
}
