//! UNIX sockets: listeners first, then pairs, through a listener where one side was accepted from it.

use crate::{
    caller::{caller, connect_as, differs, listen_as, nameless_inside, pair_as},
    datagrams::{Delivery, Sockets, deliver, name_sender, note_strangers},
    factory::{Factory, with_status},
    late_queues::Late,
    object::socket_queue::{fill, is_late, nothing_open},
    private::PrivateRoot,
    resource::ForFile,
    socket::{set_filter, set_unix_options, shut},
    socket_file::{Node, bind, path, renamed},
};
use floe_records::*;
use floe_sys::{Caller, Error, Result, accept, connect_raw, socket};
use nix::sys::socket::SockType;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::Mutex,
};

/// A name with the type of its sockets.
type Key<'a> = (u32, &'a [u8]);

/// What is known of the names of sockets while they are made.
#[derive(Default)]
pub(crate) struct Names<'a> {
    /// Sockets that listen.
    listeners: BTreeMap<Key<'a>, Named<'a>>,
    /// How many sockets have a name.
    count: BTreeMap<Key<'a>, usize>,
    /// Listeners in the place of those that have been closed, each bound as one that it has accepted.
    stand_ins: BTreeMap<Key<'a>, (OwnedFd, Named<'a>)>,
    /// Where sockets were bound whose names lead to another file by now, or to none; by inode.
    pub private: BTreeMap<u64, PrivateRoot>,
    /// Files of such sockets where no private root can be had.
    pub temporary: Vec<Node>,
    /// Sockets whose files have been renamed, as they were.
    pub renamed: BTreeSet<u64>,
    /// Datagram sockets by name.
    senders: BTreeMap<&'a [u8], u64>,
}

impl<'a> Names<'a> {
    fn of(tree: &'a Tree) -> Self {
        let mut names = Self::default();
        for socket in tree.all::<UnixSocket>().iter().filter(|socket| !socket.name.0.is_empty()) {
            *names.count.entry(key(socket)).or_default() += 1;
            if is_datagram(socket) {
                names.senders.entry(&socket.name.0).or_insert(socket.ino);
            }
            if socket.backlog.is_some() {
                names.listeners.entry(key(socket)).or_insert((socket.file, socket));
            }
        }
        names
    }

    fn listener(&self, it: &UnixSocket) -> Option<Named<'a>> {
        self.listeners.get(&key(it)).copied()
    }

    /// Inode of the datagram socket that has this name.
    pub fn sender(&self, name: &[u8]) -> Option<u64> {
        self.senders.get(name).copied()
    }

    /// Accepted sockets have one name in common, that of a listener.
    fn is_shared(&self, it: &UnixSocket) -> bool {
        self.count.get(&key(it)).is_some_and(|count| *count > 1)
    }
}

fn key(it: &UnixSocket) -> Key<'_> {
    (it.sock_type, it.name.0.as_slice())
}

impl ForFile for UnixSocket {
    fn open(&self, open: &OpenFile, make: &mut Factory<'_>) -> Result<OwnedFd> {
        let none = || Error::because("make a UNIX socket", "it could not be made");
        let fd = make.unix.remove(&self.ino).ok_or_else(none)?;
        let tree = make.tree;
        let inner = tree.pid_space(open.pid) != tree.root_pids();
        let other = differs(self, &fd).or_else(|| nameless_inside(self).filter(|_| inner));
        make.note(self.file, other.into_iter().collect());
        let queue = make.tree.get::<SocketQueue>(self.ino);
        if !queue.is_some_and(is_late) {
            set_filter(&fd, &self.options)?;
        }
        with_status(fd, open)
    }

    fn prepare(make: &mut Factory<'_>, report: &mut dyn FnMut(String, Error)) {
        let tree = make.tree;
        make_all(make, &mut |id, error| report(tree.describe(id), error));
    }
}

/// Makes all UNIX sockets of the tree.
fn make_all(make: &mut Factory<'_>, report: &mut dyn FnMut(FileId, Error)) {
    let tree = make.tree;
    make.names = Names::of(tree);
    let mut late = Late::of(tree);
    let sockets = tree.all::<UnixSocket>().iter();
    let mut all: Vec<Named<'_>> = sockets.map(|socket| (socket.file, socket)).collect();
    let by_inode: BTreeMap<u64, Named<'_>> = all.iter().map(|it| (it.1.ino, *it)).collect();
    // Whom others connect to comes first.
    all.sort_by_key(|(_, socket)| socket.backlog.is_none());
    let (mut links, mut singles) = (Vec::new(), Vec::new());
    let waiting: BTreeSet<u64> = all.iter().flat_map(|it| &it.1.waiting).copied().collect();
    for &(id, socket) in &all {
        if make.unix.contains_key(&socket.ino) || waiting.contains(&socket.ino) {
            continue;
        }
        let pair = socket.peer.and_then(|peer| by_inode.get(&peer));
        let done = match (socket.peer, pair) {
            (None, _) => {
                singles.push((id, socket));
                single(make, id, socket)
            }
            (Some(_), Some(&other)) if is_pair(socket, other.1) => {
                joined(make, (id, socket), other, &late)
            }
            (Some(_), Some(&other)) if is_datagram(socket) && !other.1.name.0.is_empty() => {
                links.push(((id, socket), other));
                singles.push((id, socket));
                single(make, id, socket)
            }
            (Some(0), _) => peer_closed(make, id, socket, &mut late),
            _ => Err(Error::because("make a UNIX socket", "its peer has another peer")),
        };
        if let Err(e) = done {
            report(id, e);
        }
    }
    connect_waiting(make, &all, &by_inode, report);
    finish(make, &singles, &mut late, report);
    if late.deliveries.is_empty() {
        connect_all(make, &make.unix, links, report);
        // Names that were there only to connect by are gone, as they were.
        for node in std::mem::take(&mut make.names).temporary {
            node.undo(&make.stands);
        }
    } else {
        late.links = links.into_iter().map(|(from, to)| (from.0, to.0)).collect();
    }
    if late.queues.is_empty() {
        return;
    }
    for (id, socket) in all {
        match make.unix.get(&socket.ino).map(OwnedFd::try_clone) {
            None => {}
            Some(Ok(copy)) => drop(late.sockets.insert(socket.ino, copy)),
            Some(Err(e)) => report(id, Error::new("duplicate a socket", e)),
        }
    }
    make.late = Mutex::new(Some(late));
}

/// Connects the sockets that wait for accept(2), in their order.
fn connect_waiting<'a>(
    make: &mut Factory<'a>,
    all: &[Named<'a>],
    by_inode: &BTreeMap<u64, Named<'a>>,
    report: &mut dyn FnMut(FileId, Error),
) {
    for &listener in all.iter().filter(|it| !it.1.waiting.is_empty()) {
        for &client in listener.1.waiting.iter().filter_map(|ino| by_inode.get(ino)) {
            match wait_for(make, listener, client) {
                Ok(fd) => drop(make.unix.insert(client.1.ino, fd)),
                Err(e) => report(client.0, e),
            }
        }
        // It had to have room for all of them.
        if let (Some(fd), Some(backlog)) = (make.unix.get(&listener.1.ino), listener.1.backlog)
            && (backlog as usize) < listener.1.waiting.len()
            && let Err(e) = listen_as(caller(listener.1).as_ref(), fd, backlog)
        {
            report(listener.0, e);
        }
    }
}

/// A socket that has connected to a listener.
fn wait_for(make: &mut Factory<'_>, listener: Named<'_>, client: Named<'_>) -> Result<OwnedFd> {
    let fd = new_socket(make, client)?;
    bind(make, client.0, client.1, &fd)?;
    connect(make, &fd, listener)?;
    set_unix_options(&fd, &client.1.options)?;
    shut(&fd, client.1.shutdown)?;
    Ok(fd)
}

pub(crate) type Named<'a> = (FileId, &'a UnixSocket);

pub(crate) fn is_datagram(socket: &UnixSocket) -> bool {
    socket.sock_type == libc::SOCK_DGRAM as u32
}

/// Whether two sockets are made as a pair. Datagram sockets that both have names are not: others may be connected to them.
fn is_pair(a: &UnixSocket, b: &UnixSocket) -> bool {
    let named = !a.name.0.is_empty() && !b.name.0.is_empty();
    b.peer == Some(a.ino) && a.ino != b.ino && !(is_datagram(a) && named)
}

/// Connects datagram sockets. One that is connected lets only its own peer connect to it, so whom others connect to comes
/// after them.
pub(crate) fn connect_all<'a>(
    make: &Factory<'_>,
    sockets: &Sockets,
    links: Vec<(Named<'a>, Named<'a>)>,
    report: &mut dyn FnMut(FileId, Error),
) {
    let strangers = |(from, to): &(Named<'_>, Named<'_>)| to.1.peer != Some(from.1.ino);
    let mut waits_for: BTreeMap<u64, usize> = BTreeMap::new();
    for link in links.iter().filter(|link| strangers(link)) {
        *waits_for.entry(link.1.1.ino).or_default() += 1;
    }
    let mut later: BTreeMap<u64, (Named<'a>, Named<'a>)> = BTreeMap::new();
    let mut ready = Vec::new();
    for link in links {
        match waits_for.get(&link.0.1.ino).is_some_and(|count| *count > 0) {
            true => drop(later.insert(link.0.1.ino, link)),
            false => ready.push(link),
        }
    }
    while let Some(link) = ready.pop() {
        let ((id, from), to) = link;
        if let Some(fd) = sockets.get(&from.ino)
            && let Err(e) = connect(make, fd, to).and_then(|()| shut(fd, from.shutdown))
        {
            report(id, e);
        }
        if strangers(&link)
            && let Some(count) = waits_for.get_mut(&to.1.ino)
        {
            *count -= 1;
            if *count == 0 {
                ready.extend(later.remove(&to.1.ino));
            }
        }
    }
    for ((id, _), _) in later.into_values() {
        report(id, Error::because("connect a socket", "all that it is connected to form a circle"));
    }
}

/// Connects to a socket of the tree, where its name leads to it.
pub(crate) fn connect(make: &Factory<'_>, fd: &OwnedFd, it: Named<'_>) -> Result<()> {
    connect_by(make, None, fd, it)
}

fn connect_by(make: &Factory<'_>, by: Option<&Caller>, fd: &OwnedFd, it: Named<'_>) -> Result<()> {
    let (to, name) = (address_of(make, it.1), &it.1.name);
    within(make, it, || connect_as(by, fd, &to)).map_err(|e| unable_to_connect(name, &e))
}

fn unable_to_connect(name: &Bytes, e: &Error) -> Error {
    Error::because(format!("connect a socket to {name}"), e.cause().to_string())
}

/// Does something where the name of a socket of the tree leads to it.
pub(crate) fn within(
    make: &Factory<'_>,
    (id, it): Named<'_>,
    work: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    match make.names.private.get(&it.ino) {
        Some(root) => root.within(path(it), work),
        None => make.within(id, work),
    }
}

/// The address by which a socket of the tree can be reached.
pub(crate) fn address_of(make: &Factory<'_>, it: &UnixSocket) -> Vec<u8> {
    match make.names.renamed.contains(&it.ino) {
        true => address(&[renamed(it).as_os_str().as_bytes(), b"\0"].concat()),
        false => address(&it.name.0),
    }
}

pub(crate) fn address(name: &[u8]) -> Vec<u8> {
    [&(libc::AF_UNIX as u16).to_ne_bytes()[..], name].concat()
}

/// The type of a UNIX socket, as socketpair(2) wants it.
pub(crate) fn kind(sock_type: u32) -> SockType {
    match sock_type as i32 {
        libc::SOCK_DGRAM => SockType::Datagram,
        libc::SOCK_SEQPACKET => SockType::SeqPacket,
        _ => SockType::Stream,
    }
}

fn pair_of(make: &Factory<'_>, (id, socket): Named<'_>) -> Result<(OwnedFd, OwnedFd)> {
    make.socket(id, || pair_as(caller(socket).as_ref(), kind(socket.sock_type)))
}

/// A socket of this type.
pub(crate) fn new_socket(make: &Factory<'_>, (id, it): Named<'_>) -> Result<OwnedFd> {
    make.socket(id, || socket(libc::AF_UNIX, it.sock_type as i32, 0))
}

/// One that listens, is not connected, or is so later.
fn single(make: &mut Factory<'_>, id: FileId, it: &UnixSocket) -> Result<()> {
    let fd = new_socket(make, (id, it))?;
    make.fresh_options.set(it.sock_type, &fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(backlog) = it.backlog {
        listen_as(caller(it).as_ref(), &fd, backlog.max(it.waiting.len() as u32))?;
    }
    make.unix.insert(it.ino, fd);
    Ok(())
}

/// Fills the queues of sockets that have been made one by one, when all are there who may have sent something, and then
/// connects those whose peer is outside.
fn finish<'a>(
    make: &mut Factory<'a>,
    singles: &[Named<'a>],
    late: &mut Late,
    report: &mut dyn FnMut(FileId, Error),
) {
    let tree = make.tree;
    for &(id, it) in singles {
        let queue = tree.get::<SocketQueue>(it.ino).filter(|queue| is_late(queue));
        if let Some(queue) = queue {
            match Delivery::prepare(make, (id, it), queue) {
                Ok(delivery) => late.deliveries.push(delivery),
                Err(e) => report(id, e),
            }
            continue;
        }
        let queue = make.tree.get::<SocketQueue>(it.ino).filter(|queue| !queue.bytes.is_empty());
        if let Some(queue) = queue
            && make.unix.contains_key(&it.ino)
            && let Err(e) = deliver(make, (id, it), queue)
        {
            report(id, e);
        }
    }
    for &(id, it) in singles.iter().filter(|(_, it)| it.peer.is_none()) {
        let Some(fd) = make.unix.get(&it.ino) else { continue };
        let how = if late.queues.contains(&it.ino) { 0 } else { it.shutdown };
        if let Err(e) = connect_outside(make, id, it, fd).and_then(|()| shut(fd, how)) {
            report(id, e);
        }
    }
}

fn connect_outside(make: &Factory<'_>, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    if it.peer_name.0.is_empty() {
        return Ok(());
    }
    let (to, peer) = (address(&it.peer_name.0), &it.peer_name);
    make.within(id, || connect_raw(fd.as_fd(), &to)).map_err(|e| unable_to_connect(peer, &e))
}

/// One whose peer has gone: what it has not read yet is still there.
fn peer_closed(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, late: &mut Late) -> Result<()> {
    let (fd, other) = pair_of(make, (id, it))?;
    make.fresh_options.set(it.sock_type, &fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(queue) = make.tree.get::<SocketQueue>(it.ino) {
        if let Some(sender) = queue.senders.iter().find(|sender| !sender.0.is_empty()) {
            // Where that cannot be, the note below tells of it.
            let named = name_sender(make, id, &other, &sender.0);
            note_strangers(make, id, queue, if named.is_ok() { &sender.0 } else { &[] });
        }
        if is_late(queue) {
            late.gone.insert(it.ino, other);
            make.unix.insert(it.ino, fd);
            return Ok(());
        }
        fill(&other, &fd, queue, &nothing_open)?;
    }
    drop(other);
    make.unix.insert(it.ino, fd);
    Ok(())
}

/// Two that are connected with each other.
fn joined<'a>(make: &mut Factory<'a>, a: Named<'a>, b: Named<'a>, late: &Late) -> Result<()> {
    let mut is_pair = false;
    let (near, far) = match (make.names.listener(a.1), make.names.listener(b.1)) {
        (Some(at), _) => {
            let (client, server) = through(make, at, b, a.1)?;
            (server, client)
        }
        (None, Some(at)) => through(make, at, a, b.1)?,
        (None, None) if make.names.is_shared(a.1) || was_accepted(a.1, b.1) => {
            stand_in(make, a, b.1)?;
            let (client, server) = through(make, a, b, a.1)?;
            (server, client)
        }
        (None, None) if make.names.is_shared(b.1) || was_accepted(b.1, a.1) => {
            stand_in(make, b, a.1)?;
            through(make, b, a, b.1)?
        }
        (None, None) => {
            let (near, far) = pair_of(make, a)?;
            is_pair = true;
            bind(make, a.0, a.1, &near)?;
            bind(make, b.0, b.1, &far)?;
            (near, far)
        }
    };
    for (fd, it) in [(&near, a.1), (&far, b.1)] {
        match is_pair {
            true => make.fresh_options.set(it.sock_type, fd, &it.options)?,
            // One of them was accepted, and has options of its listener.
            false => set_unix_options(fd, &it.options)?,
        }
    }
    if let Some(queue) = make.tree.get::<SocketQueue>(a.1.ino) {
        note_strangers(make, a.0, queue, &b.1.name.0);
        if !is_late(queue) {
            fill(&far, &near, queue, &nothing_open)?;
        }
    }
    if let Some(queue) = make.tree.get::<SocketQueue>(b.1.ino) {
        note_strangers(make, b.0, queue, &a.1.name.0);
        if !is_late(queue) {
            fill(&near, &far, queue, &nothing_open)?;
        }
    }
    if !late.shuts(a.1, b.1) {
        shut(&near, a.1.shutdown)?;
        shut(&far, b.1.shutdown)?;
    }
    make.unix.insert(a.1.ino, near);
    make.unix.insert(b.1.ino, far);
    Ok(())
}

/// Whether one of a pair was accepted, and neither is the other's doing: both ends of a socketpair(2) are the same caller's.
fn was_accepted(server: &UnixSocket, client: &UnixSocket) -> bool {
    !is_datagram(server) && !server.name.0.is_empty() && caller(server) != caller(client)
}

/// Connects `client` through a listener, for what is to be `server`: (client, accepted).
fn through(
    make: &mut Factory<'_>,
    listener: Named,
    client: Named,
    server: &UnixSocket,
) -> Result<(OwnedFd, OwnedFd)> {
    let fd = new_socket(make, client)?;
    bind(make, client.0, client.1, &fd)?;
    let stand_in = make.names.stand_ins.get(&key(listener.1));
    connect_by(make, caller(server).as_ref(), &fd, stand_in.map_or(listener, |(_, it)| *it))?;
    let gone = || Error::because("connect a socket", "its listener could not be made");
    let it = make.unix.get(&listener.1.ino).or(stand_in.map(|(fd, _)| fd)).ok_or_else(gone)?;
    let server = accept(it.as_fd())?;
    Ok((fd, server))
}

/// A listener in the place of one that has been closed, with which this client is connected.
fn stand_in<'a>(make: &mut Factory<'a>, server: Named<'a>, client: &UnixSocket) -> Result<()> {
    if make.names.stand_ins.contains_key(&key(server.1)) {
        return Ok(());
    }
    let fd = new_socket(make, server)?;
    bind(make, server.0, server.1, &fd)?;
    listen_as(caller(client).as_ref(), &fd, 1)?;
    make.names.stand_ins.insert(key(server.1), (fd, server));
    Ok(())
}
