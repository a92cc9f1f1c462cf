//! UNIX sockets: listeners first, then pairs, through a listener where one side was accepted from it.

use crate::{
    factory::{Factory, with_status},
    object::socket_queue::fill,
    private::PrivateRoot,
    resource::ForFile,
    socket::{set_options, shut},
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Result, accept, bind_raw, connect_raw, listen, socket};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// A socket file that was made where there was none.
pub(crate) struct Node {
    name: PathBuf,
    pid: Pid,
}

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
    private: BTreeMap<u64, PrivateRoot>,
    /// Files of such sockets where no private root can be had.
    temporary: Vec<Node>,
}

impl<'a> Names<'a> {
    fn of(tree: &'a Tree) -> Self {
        let mut names = Self::default();
        for socket in tree.all::<UnixSocket>().iter().filter(|socket| !socket.name.0.is_empty()) {
            *names.count.entry(key(socket)).or_default() += 1;
            if socket.backlog.is_some() {
                names.listeners.entry(key(socket)).or_insert((socket.file, socket));
            }
        }
        names
    }

    fn listener(&self, it: &UnixSocket) -> Option<Named<'a>> {
        self.listeners.get(&key(it)).copied()
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
        with_status(make.unix.remove(&self.ino).ok_or_else(none)?, open)
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
    let sockets = tree.all::<UnixSocket>().iter();
    let mut all: Vec<Named<'_>> = sockets.map(|socket| (socket.file, socket)).collect();
    let by_inode: BTreeMap<u64, Named<'_>> = all.iter().map(|it| (it.1.ino, *it)).collect();
    // Whom others connect to comes first.
    all.sort_by_key(|(_, socket)| socket.backlog.is_none());
    let mut links = Vec::new();
    for &(id, socket) in &all {
        if make.unix.contains_key(&socket.ino) {
            continue;
        }
        let pair = socket.peer.and_then(|peer| by_inode.get(&peer));
        let done = match (socket.peer, pair) {
            (None, _) => single(make, id, socket),
            (Some(_), Some(&other)) if is_pair(socket, other.1) => {
                joined(make, (id, socket), other)
            }
            (Some(_), Some(&other)) if is_datagram(socket) && !other.1.name.0.is_empty() => {
                links.push(((id, socket), other));
                single(make, id, socket)
            }
            (Some(0), _) => peer_closed(make, id, socket),
            _ => Err(Error::because("make a UNIX socket", "its peer has another peer")),
        };
        if let Err(e) = done {
            report(id, e);
        }
    }
    connect_all(make, links, report);
    // Names that were there only to connect by are gone, as they were.
    for node in std::mem::take(&mut make.names).temporary {
        node.undo(&make.stands);
    }
}

type Named<'a> = (FileId, &'a UnixSocket);

fn is_datagram(socket: &UnixSocket) -> bool {
    socket.sock_type == libc::SOCK_DGRAM as u32
}

/// Whether two sockets are made as a pair. Datagram sockets that both have names are not: others may be connected to them.
fn is_pair(a: &UnixSocket, b: &UnixSocket) -> bool {
    let named = !a.name.0.is_empty() && !b.name.0.is_empty();
    b.peer == Some(a.ino) && a.ino != b.ino && !(is_datagram(a) && named)
}

/// Connects datagram sockets. One that is connected lets only its own peer connect to it, so whom others connect to comes
/// after them.
fn connect_all<'a>(
    make: &Factory<'_>,
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
        if let Some(fd) = make.unix.get(&from.ino)
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
fn connect(make: &Factory<'_>, fd: &OwnedFd, (id, it): Named<'_>) -> Result<()> {
    let to = address(&it.name.0);
    let done = match make.names.private.get(&it.ino) {
        Some(root) => root.within(path(it), || connect_raw(fd.as_fd(), &to)),
        None => make.within(id, || connect_raw(fd.as_fd(), &to)),
    };
    done.map_err(|e| {
        Error::because(format!("connect a socket to {}", it.name), e.cause().to_string())
    })
}

fn address(name: &[u8]) -> Vec<u8> {
    [&(libc::AF_UNIX as u16).to_ne_bytes()[..], name].concat()
}

fn kind(socket: &UnixSocket) -> SockType {
    match socket.sock_type as i32 {
        libc::SOCK_DGRAM => SockType::Datagram,
        libc::SOCK_SEQPACKET => SockType::SeqPacket,
        _ => SockType::Stream,
    }
}

fn pair_of(socket: &UnixSocket) -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, kind(socket), None, SockFlag::SOCK_CLOEXEC)
        .map_err(|e| Error::new("make a pair of sockets", e))
}

/// One that listens, is not connected, or is so later.
fn single(make: &mut Factory<'_>, id: FileId, it: &UnixSocket) -> Result<()> {
    let fd = socket(libc::AF_UNIX, it.sock_type as i32, 0)?;
    make.fresh_options.set(it.sock_type, &fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(backlog) = it.backlog {
        listen(fd.as_fd(), backlog)?;
    }
    if let Some(queue) =
        make.tree.get::<SocketQueue>(it.ino).filter(|queue| !queue.bytes.is_empty())
    {
        let from = socket(libc::AF_UNIX, it.sock_type as i32, 0)?;
        connect(make, &from, (id, it))?;
        fill(&from, queue)?;
    }
    if it.peer.is_none() {
        if !it.peer_name.0.is_empty() {
            let (to, peer) = (address(&it.peer_name.0), &it.peer_name);
            make.within(id, || connect_raw(fd.as_fd(), &to)).map_err(|e| {
                Error::because(format!("connect a socket to {peer}"), e.cause().to_string())
            })?;
        }
        shut(&fd, it.shutdown)?;
    }
    make.unix.insert(it.ino, fd);
    Ok(())
}

/// One whose peer has gone: what it has not read yet is still there.
fn peer_closed(make: &mut Factory<'_>, id: FileId, it: &UnixSocket) -> Result<()> {
    let (fd, other) = pair_of(it)?;
    make.fresh_options.set(it.sock_type, &fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(queue) = make.tree.get::<SocketQueue>(it.ino) {
        fill(&other, queue)?;
    }
    drop(other);
    make.unix.insert(it.ino, fd);
    Ok(())
}

/// Two that are connected with each other.
fn joined<'a>(make: &mut Factory<'a>, a: Named<'a>, b: Named<'a>) -> Result<()> {
    let mut is_pair = false;
    let (near, far) = match (make.names.listener(a.1), make.names.listener(b.1)) {
        (Some(at), _) => {
            let (client, server) = through(make, at, b)?;
            (server, client)
        }
        (None, Some(at)) => through(make, at, a)?,
        (None, None) if make.names.is_shared(a.1) => {
            stand_in(make, a)?;
            let (client, server) = through(make, a, b)?;
            (server, client)
        }
        (None, None) if make.names.is_shared(b.1) => {
            stand_in(make, b)?;
            through(make, b, a)?
        }
        (None, None) => {
            let (near, far) = pair_of(a.1)?;
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
            false => set_options(fd, &it.options)?,
        }
    }
    if let Some(queue) = make.tree.get::<SocketQueue>(a.1.ino) {
        fill(&far, queue)?;
    }
    if let Some(queue) = make.tree.get::<SocketQueue>(b.1.ino) {
        fill(&near, queue)?;
    }
    shut(&near, a.1.shutdown)?;
    shut(&far, b.1.shutdown)?;
    make.unix.insert(a.1.ino, near);
    make.unix.insert(b.1.ino, far);
    Ok(())
}

/// Connects `client` through a listener: (client, accepted).
fn through(make: &mut Factory<'_>, listener: Named, client: Named) -> Result<(OwnedFd, OwnedFd)> {
    let fd = socket(libc::AF_UNIX, client.1.sock_type as i32, 0)?;
    bind(make, client.0, client.1, &fd)?;
    let stand_in = make.names.stand_ins.get(&key(listener.1));
    connect(make, &fd, stand_in.map_or(listener, |(_, it)| *it))?;
    let gone = || Error::because("connect a socket", "its listener could not be made");
    let it = make.unix.get(&listener.1.ino).or(stand_in.map(|(fd, _)| fd)).ok_or_else(gone)?;
    let server = accept(it.as_fd())?;
    Ok((fd, server))
}

/// A listener in the place of one that has been closed.
fn stand_in<'a>(make: &mut Factory<'a>, server: Named<'a>) -> Result<()> {
    if make.names.stand_ins.contains_key(&key(server.1)) {
        return Ok(());
    }
    let fd = socket(libc::AF_UNIX, server.1.sock_type as i32, 0)?;
    bind(make, server.0, server.1, &fd)?;
    listen(fd.as_fd(), 1)?;
    make.names.stand_ins.insert(key(server.1), (fd, server));
    Ok(())
}

fn path(it: &UnixSocket) -> &Path {
    let name = it.name.0.strip_suffix(b"\0").unwrap_or(&it.name.0);
    Path::new(OsStr::from_bytes(name))
}

/// Binds to a name that is another file's by now, or nobody's, where nobody else sees it. Without the right to do so it is bound
/// in its place, and the file goes again.
fn bind_aside(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    let to = address(&it.name.0);
    if let Ok(root) = PrivateRoot::new() {
        root.within(path(it), || bind_raw(fd.as_fd(), &to))?;
        make.names.private.insert(it.ino, root);
        return Ok(());
    }
    let nobody = || Error::because("bind a socket", "no process has it");
    let (pid, _) = make.tree.holder(id).ok_or_else(nobody)?;
    make.stands.within(pid, || bind_raw(fd.as_fd(), &to))?;
    make.names.temporary.push(Node { name: path(it).to_owned(), pid });
    Ok(())
}

/// Binds it to its name. A dead socket file of that name is replaced by one just like it, but for a connected stream: it gets
/// no connections, and the file was that of a listener which has been closed.
fn bind(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    if it.name.0.is_empty() {
        return Ok(());
    }
    let to = address(&it.name.0);
    let named = |e: Error| {
        let name = path(it).display();
        Error::because(format!("bind a socket to {name}"), e.cause().to_string())
    };
    if it.name.0.first() == Some(&0) {
        return make.within(id, || bind_raw(fd.as_fd(), &to)).map_err(named);
    }
    let name = path(it).to_owned();
    let (Some((uid, gid, mode)), Some((pid, _))) = (it.node, make.tree.holder(id)) else {
        return bind_aside(make, id, it, fd).map_err(named);
    };
    let is_connected = it.peer.is_some() && !is_datagram(it);
    let is_there = || Ok(std::fs::symlink_metadata(&name).is_ok());
    if is_connected && make.stands.within(pid, is_there)? {
        return bind_aside(make, id, it, fd).map_err(named);
    }
    let fresh = make.stands.within(pid, || make_room(&name, it.sock_type as i32))?;
    let bound = make.stands.within(pid, || bind_raw(fd.as_fd(), &to).map_err(named));
    if let (Err(_), false) = (&bound, fresh) {
        // A dead socket file again in the place of the one that was removed; the error is told in any case.
        let mode = Mode::from_bits_truncate(mode);
        let _ = make.stands.within(pid, || Ok(mknod(&name, SFlag::S_IFSOCK, mode, 0)));
    }
    bound?;
    if fresh {
        make.nodes.push(Node { name: name.clone(), pid });
    }
    make.stands.within(pid, || {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::os::unix::fs::chown(&name, Some(uid), Some(gid))
            .and_then(|()| std::fs::set_permissions(&name, mode))
            .map_err(|e| Error::new(format!("set the owner of {}", name.display()), e))
    })
}

/// Removes a socket file that nobody serves any more; true where there was none.
fn make_room(name: &Path, kind: i32) -> Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(meta) = std::fs::symlink_metadata(name) else { return Ok(true) };
    let doing = || format!("bind a socket to {}", name.display());
    if !meta.file_type().is_socket() {
        return Err(Error::because(doing(), "a file that is no socket has that name"));
    }
    let path = [name.as_os_str().as_bytes(), b"\0"].concat();
    let caller = socket(libc::AF_UNIX, kind, 0)?;
    let answer = connect_raw(caller.as_fd(), &address(&path));
    if answer.map_or_else(|e| e.errno(), |()| None) != Some(libc::ECONNREFUSED) {
        return Err(Error::because(doing(), "somebody else serves it"));
    }
    std::fs::remove_file(name).map_err(|e| Error::new(doing(), e))?;
    Ok(false)
}

impl Node {
    /// The restore has failed: the file goes.
    pub fn undo(&self, stands: &Stands) {
        // Nothing more can be done than try.
        let _ = stands.within(self.pid, || {
            let _ = std::fs::remove_file(&self.name);
            Ok(())
        });
    }
}
