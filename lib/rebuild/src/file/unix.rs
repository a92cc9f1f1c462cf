//! UNIX sockets: listeners first, then pairs, through a listener where one side was accepted from it.

use crate::{
    factory::{Factory, with_status},
    object::socket_queue::fill,
    resource::ForFile,
    socket::set_options,
    stand::Stands,
};
use floe_records::*;
use floe_sys::{Error, Result, accept, bind_raw, connect_raw, listen, socket};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// A socket file that was made where there was none.
pub(crate) struct Node {
    name: PathBuf,
    pid: Pid,
}

/// What is known of the names of sockets while they are made.
#[derive(Default)]
pub(crate) struct Names<'a> {
    /// Sockets that listen.
    listeners: BTreeMap<&'a [u8], Named<'a>>,
    /// How many sockets have a name.
    count: BTreeMap<&'a [u8], usize>,
    /// Listeners in the place of those that have been closed.
    stand_ins: BTreeMap<&'a [u8], OwnedFd>,
    /// Files that are needed while sockets are connected, and were gone in the tree: those of closed listeners, and those
    /// that had been removed.
    temporary: Vec<Node>,
}

impl<'a> Names<'a> {
    fn of(tree: &'a Tree) -> Self {
        let mut names = Self::default();
        for socket in tree.all::<UnixSocket>().iter().filter(|socket| !socket.name.0.is_empty()) {
            let name = socket.name.0.as_slice();
            *names.count.entry(name).or_default() += 1;
            if socket.backlog.is_some() {
                names.listeners.entry(name).or_insert((socket.file, socket));
            }
        }
        names
    }

    fn listener(&self, it: &UnixSocket) -> Option<Named<'a>> {
        self.listeners.get(it.name.0.as_slice()).copied()
    }

    /// Accepted sockets have one name in common, that of a listener.
    fn is_shared(&self, it: &UnixSocket) -> bool {
        self.count.get(it.name.0.as_slice()).is_some_and(|count| *count > 1)
    }
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
    let mut all: Vec<(FileId, &UnixSocket)> = sockets.map(|socket| (socket.file, socket)).collect();
    let by_inode: BTreeMap<u64, Named<'_>> = all.iter().map(|it| (it.1.ino, *it)).collect();
    // Whom others connect to comes first: those that listen, then those that have no peer.
    all.sort_by_key(|(_, socket)| (socket.backlog.is_none(), socket.peer.is_some()));
    for &(id, socket) in &all {
        if make.unix.contains_key(&socket.ino) {
            continue;
        }
        let pair = socket.peer.and_then(|peer| by_inode.get(&peer));
        let datagrams = socket.sock_type == libc::SOCK_DGRAM as u32;
        let done = match (socket.peer, pair) {
            (None, _) => single(make, id, socket, &socket.peer_name),
            (Some(_), Some(&(other_id, other))) if other.peer == Some(socket.ino) => {
                joined(make, (id, socket), (other_id, other))
            }
            (Some(0), _) => peer_closed(make, id, socket),
            // Many may be connected to one that is connected to none.
            (Some(_), Some((_, other))) if datagrams && !other.name.0.is_empty() => {
                single(make, id, socket, &other.name)
            }
            _ => Err(Error::because("make a UNIX socket", "its peer has another peer")),
        };
        if let Err(e) = done {
            report(id, e);
        }
    }
    // Names that were there only to connect by are gone, as they were.
    for node in std::mem::take(&mut make.names).temporary {
        node.undo(&make.stands);
    }
}

type Named<'a> = (FileId, &'a UnixSocket);

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

/// One that listens, or is not connected within the tree.
fn single(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, peer: &Bytes) -> Result<()> {
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
        let to = address(&it.name.0);
        make.within(id, || connect_raw(from.as_fd(), &to))?;
        fill(&from, queue)?;
    }
    if !peer.0.is_empty() {
        let to = address(&peer.0);
        make.within(id, || connect_raw(fd.as_fd(), &to)).map_err(|e| {
            Error::because(format!("connect a socket to {peer}"), e.cause().to_string())
        })?;
    }
    shut(&fd, it.shutdown)?;
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
    let to = address(&listener.1.name.0);
    make.within(listener.0, || connect_raw(fd.as_fd(), &to))?;
    let gone = || Error::because("connect a socket", "its listener could not be made");
    let stand_in = || make.names.stand_ins.get(listener.1.name.0.as_slice());
    let it = make.unix.get(&listener.1.ino).or_else(stand_in).ok_or_else(gone)?;
    let server = accept(it.as_fd())?;
    Ok((fd, server))
}

/// A listener in the place of one that has been closed.
fn stand_in<'a>(make: &mut Factory<'a>, server: Named<'a>) -> Result<()> {
    let name = &server.1.name;
    if make.names.stand_ins.contains_key(name.0.as_slice()) {
        return Ok(());
    }
    let fd = socket(libc::AF_UNIX, server.1.sock_type as i32, 0)?;
    let node = bind_for_a_while(make, server.0, name, &fd)?;
    make.names.temporary.extend(node);
    listen(fd.as_fd(), 1)?;
    make.names.stand_ins.insert(&name.0, fd);
    Ok(())
}

/// Binds to a name whose file goes again; the file, where there is one.
fn bind_for_a_while(
    make: &Factory<'_>,
    id: FileId,
    name: &Bytes,
    fd: &OwnedFd,
) -> Result<Option<Node>> {
    let to = address(&name.0);
    if name.0.first() == Some(&0) {
        return bind_raw(fd.as_fd(), &to).map(|()| None);
    }
    let nobody = || Error::because("bind a socket", "no process has it");
    let (pid, _) = make.tree.holder(id).ok_or_else(nobody)?;
    make.stands.within(pid, || bind_raw(fd.as_fd(), &to))?;
    let path = name.0.strip_suffix(b"\0").unwrap_or(&name.0);
    Ok(Some(Node { name: Path::new(OsStr::from_bytes(path)).to_owned(), pid }))
}

fn shut(fd: &OwnedFd, how: u8) -> Result<()> {
    let how = match how & 3 {
        0 => return Ok(()),
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        _ => Shutdown::Both,
    };
    match shutdown(fd.as_raw_fd(), how) {
        // Without a peer there is nothing to shut.
        Ok(()) | Err(nix::Error::ENOTCONN) => Ok(()),
        Err(e) => Err(Error::new("shut a socket down", e)),
    }
}

/// Binds it to its name. A dead socket file of that name is replaced by one just like it.
fn bind(make: &mut Factory<'_>, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    // An accepted socket has the name of its listener; the file is the listener's.
    if it.name.0.is_empty() {
        return Ok(());
    }
    let path = it.name.0.strip_suffix(b"\0").unwrap_or(&it.name.0);
    let to = address(&it.name.0);
    let named = |e: Error| {
        let name = String::from_utf8_lossy(path).into_owned();
        Error::because(format!("bind a socket to {name}"), e.cause().to_string())
    };
    let (Some((uid, gid, mode)), Some((pid, _))) = (it.node, make.tree.holder(id)) else {
        if path.first() == Some(&0) {
            return bind_raw(fd.as_fd(), &to).map_err(named);
        }
        // Its file had been removed. Where somebody else has the name by now it comes back without one.
        if let Ok(node) = bind_for_a_while(make, id, &it.name, fd) {
            make.names.temporary.extend(node);
        }
        return Ok(());
    };
    let name = Path::new(OsStr::from_bytes(path)).to_owned();
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
