//! UNIX sockets: listeners first, then pairs, through a listener where one side was accepted from it.

use super::{Maker, sockets::set_options};
use floe_records::*;
use floe_sys::{Error, Result, accept, bind_raw, connect_raw, listen, socket};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, send, shutdown, socketpair,
};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// A socket file that was made where there was none.
pub(super) struct Node {
    name: PathBuf,
    pid: Pid,
}

/// A name that is needed while sockets are connected, and was gone in the tree: that of a listener which has been closed,
/// or whose file has been removed.
pub(super) struct Lent {
    name: Bytes,
    listener: Option<OwnedFd>,
    node: Option<Node>,
}

/// Makes all UNIX sockets of the tree.
pub(super) fn make_all(make: &mut Maker, say: &mut dyn FnMut(FileId, Error)) {
    let mut all: Vec<(FileId, &UnixSocket)> = (make.tree.files.values())
        .filter_map(|file| match &file.what {
            FileKind::Unix(socket) => Some((file.id, socket)),
            _ => None,
        })
        .collect();
    // Whom others connect to comes first: those that listen, then those that have no peer.
    all.sort_by_key(|(_, socket)| (socket.backlog.is_none(), socket.peer.is_some()));
    for &(id, socket) in &all {
        if make.unix.contains_key(&socket.ino) {
            continue;
        }
        let pair = socket.peer.and_then(|peer| all.iter().find(|(_, s)| s.ino == peer));
        let datagrams = socket.sock_type == libc::SOCK_DGRAM as u32;
        let done = match (socket.peer, pair) {
            (None, _) => single(make, id, socket, &socket.peer_name),
            (Some(_), Some(&(other_id, other))) if other.peer == Some(socket.ino) => {
                joined(make, &all, (id, socket), (other_id, other))
            }
            (Some(0), _) => widowed(make, id, socket),
            // Many may be connected to one that is connected to none.
            (Some(_), Some((_, other))) if datagrams && !other.name.0.is_empty() => {
                single(make, id, socket, &other.name)
            }
            _ => Err(Error::because("make a UNIX socket", "its peer has another peer")),
        };
        if let Err(e) = done {
            say(id, e);
        }
    }
    // Names that were there only to connect by are gone, as they were.
    for lent in std::mem::take(&mut make.lent) {
        lent.node.iter().for_each(|node| node.undo(&make.places));
    }
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

/// One that listens, or is not connected within the tree.
fn single(make: &mut Maker, id: FileId, it: &UnixSocket, peer: &Bytes) -> Result<()> {
    let fd = socket(libc::AF_UNIX, it.sock_type as i32, 0)?;
    set_options(&fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(backlog) = it.backlog {
        listen(fd.as_fd(), backlog)?;
    }
    if let Some(bytes) = make.tree.queues.get(&it.ino).filter(|(_, bytes)| !bytes.is_empty()) {
        let from = socket(libc::AF_UNIX, it.sock_type as i32, 0)?;
        make.within(id, || connect_raw(from.as_fd(), &address(&it.name.0)))?;
        fill(&from, bytes)?;
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
fn widowed(make: &mut Maker, id: FileId, it: &UnixSocket) -> Result<()> {
    let (fd, other) = pair_of(it)?;
    set_options(&fd, &it.options)?;
    bind(make, id, it, &fd)?;
    if let Some(queue) = make.tree.queues.get(&it.ino) {
        fill(&other, queue)?;
    }
    drop(other);
    make.unix.insert(it.ino, fd);
    Ok(())
}

type Named<'a> = (FileId, &'a UnixSocket);

/// Two that are connected with each other.
fn joined(make: &mut Maker, all: &[Named], a: Named, b: Named) -> Result<()> {
    let listener = |it: &UnixSocket| {
        let same = |s: &&Named| s.1.backlog.is_some() && s.1.name == it.name;
        if it.name.0.is_empty() { None } else { all.iter().find(same).copied() }
    };
    // Accepted sockets have one name in common, that of a listener.
    let shared = |it: &UnixSocket| {
        !it.name.0.is_empty() && all.iter().filter(|(_, s)| s.name == it.name).count() > 1
    };
    let (near, far) = match (listener(a.1), listener(b.1)) {
        (Some(at), _) => {
            let (client, server) = through(make, at, b)?;
            (server, client)
        }
        (None, Some(at)) => through(make, at, a)?,
        (None, None) if shared(a.1) => {
            lend(make, a)?;
            let (client, server) = through(make, a, b)?;
            (server, client)
        }
        (None, None) if shared(b.1) => {
            lend(make, b)?;
            through(make, b, a)?
        }
        (None, None) => {
            let (near, far) = pair_of(a.1)?;
            bind(make, a.0, a.1, &near)?;
            bind(make, b.0, b.1, &far)?;
            (near, far)
        }
    };
    set_options(&near, &a.1.options)?;
    set_options(&far, &b.1.options)?;
    if let Some(queue) = make.tree.queues.get(&a.1.ino) {
        fill(&far, queue)?;
    }
    if let Some(queue) = make.tree.queues.get(&b.1.ino) {
        fill(&near, queue)?;
    }
    shut(&near, a.1.shutdown)?;
    shut(&far, b.1.shutdown)?;
    make.unix.insert(a.1.ino, near);
    make.unix.insert(b.1.ino, far);
    Ok(())
}

/// Connects `client` through a listener: (client, accepted).
fn through(make: &mut Maker, listener: Named, client: Named) -> Result<(OwnedFd, OwnedFd)> {
    let fd = socket(libc::AF_UNIX, client.1.sock_type as i32, 0)?;
    bind(make, client.0, client.1, &fd)?;
    let to = address(&listener.1.name.0);
    make.within(listener.0, || connect_raw(fd.as_fd(), &to))?;
    let gone = || Error::because("connect a socket", "its listener could not be made");
    let lent = || make.lent.iter().find(|lent| lent.name == listener.1.name)?.listener.as_ref();
    let it = make.unix.get(&listener.1.ino).or_else(lent).ok_or_else(gone)?;
    let server = accept(it.as_fd())?;
    Ok((fd, server))
}

/// A listener in the place of one that has been closed.
fn lend(make: &mut Maker, server: Named) -> Result<()> {
    let name = &server.1.name;
    if make.lent.iter().any(|lent| lent.name == *name && lent.listener.is_some()) {
        return Ok(());
    }
    let fd = socket(libc::AF_UNIX, server.1.sock_type as i32, 0)?;
    let node = bind_for_a_while(make, server.0, name, &fd)?;
    listen(fd.as_fd(), 1)?;
    make.lent.push(Lent { name: name.clone(), listener: Some(fd), node });
    Ok(())
}

/// Binds to a name whose file goes again; the file, where there is one.
fn bind_for_a_while(make: &Maker, id: FileId, name: &Bytes, fd: &OwnedFd) -> Result<Option<Node>> {
    let to = address(&name.0);
    if name.0.first() == Some(&0) {
        return bind_raw(fd.as_fd(), &to).map(|()| None);
    }
    let nobody = || Error::because("bind a socket", "no process has it");
    let (pid, _) = make.tree.holder(id).ok_or_else(nobody)?;
    make.places.within(pid, || bind_raw(fd.as_fd(), &to))?;
    let path = name.0.strip_suffix(b"\0").unwrap_or(&name.0);
    Ok(Some(Node { name: Path::new(OsStr::from_bytes(path)).to_owned(), pid }))
}

/// Sends what was queued; nobody reads yet, so it never waits.
fn fill(from: &OwnedFd, (lengths, bytes): &(Vec<u32>, Vec<u8>)) -> Result<()> {
    let mut rest = bytes.as_slice();
    for len in lengths {
        let short = || Error::because("fill a socket", "the record is damaged");
        let (message, behind) = rest.split_at_checked(*len as usize).ok_or_else(short)?;
        rest = behind;
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent =
            send(from.as_raw_fd(), message, flags).map_err(|e| Error::new("fill a socket", e))?;
        if sent != message.len() {
            return Err(Error::because("fill a socket", "it has no room"));
        }
    }
    Ok(())
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
fn bind(make: &mut Maker, id: FileId, it: &UnixSocket, fd: &OwnedFd) -> Result<()> {
    // An accepted socket has the name of its listener; the file is the listener's.
    if it.name.0.is_empty() {
        return Ok(());
    }
    let path = it.name.0.strip_suffix(b"\0").unwrap_or(&it.name.0);
    let to = address(&it.name.0);
    let say = |e: Error| {
        let name = String::from_utf8_lossy(path).into_owned();
        Error::because(format!("bind a socket to {name}"), e.cause().to_string())
    };
    let (Some((uid, gid, mode)), Some((pid, _))) = (it.node, make.tree.holder(id)) else {
        if path.first() == Some(&0) {
            return bind_raw(fd.as_fd(), &to).map_err(say);
        }
        // Its file had been removed. Where somebody else has the name by now it comes back without one.
        if let Ok(node) = bind_for_a_while(make, id, &it.name, fd) {
            make.lent.push(Lent { name: it.name.clone(), listener: None, node });
        }
        return Ok(());
    };
    let name = Path::new(OsStr::from_bytes(path)).to_owned();
    let fresh = make.places.within(pid, || make_room(&name, it.sock_type as i32))?;
    let bound = make.places.within(pid, || bind_raw(fd.as_fd(), &to).map_err(say));
    if let (Err(_), false) = (&bound, fresh) {
        // A dead socket file again in the place of the one that was removed; the error is told in any case.
        let mode = Mode::from_bits_truncate(mode);
        let _ = make.places.within(pid, || Ok(mknod(&name, SFlag::S_IFSOCK, mode, 0)));
    }
    bound?;
    if fresh {
        make.nodes.push(Node { name: name.clone(), pid });
    }
    make.places.within(pid, || {
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
    pub fn undo(&self, places: &super::place::Places) {
        // Nothing more can be done than try.
        let _ = places.within(self.pid, || {
            let _ = std::fs::remove_file(&self.name);
            Ok(())
        });
    }
}
