//! Datagrams that were queued in UNIX sockets: each comes from a socket that has the address of its sender. That may be one of the
//! tree; another one is made for the purpose, and its address stays with the datagram when it is closed. What carries something is
//! sent late, by senders that have been made early: what goes wrong with their names is told then.

use crate::{
    factory::Factory,
    file::unix::{Named, address, address_of, connect, within},
    object::socket_queue::{Open, Quiet, messages, nothing_open, send_on},
    private::PrivateRoot,
    socket_file::path_of,
};
use floe_records::*;
use floe_sys::{Error, Result, bind_raw, socket};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
};

/// Datagram sockets of the tree, by inode.
pub(crate) type Sockets = BTreeMap<u64, OwnedFd>;

/// Sockets that were made to send something, by their addresses.
type Senders<'a> = BTreeMap<&'a [u8], OwnedFd>;

/// Fills the queue of a socket that is bound and not connected yet.
pub(crate) fn deliver(make: &mut Factory<'_>, to: Named<'_>, queue: &SocketQueue) -> Result<()> {
    let mut own = Senders::new();
    for (at, message) in messages(queue)?.into_iter().enumerate() {
        let name = name_of(queue, at);
        let by = (to, queue, at);
        if sent_by_the_tree(make, &make.unix, by, message, &nothing_open)
            .is_some_and(|sent| sent.is_ok())
        {
            continue;
        }
        add_sender(make, to, name, &mut own)?;
        send_quietly(&make.unix, &own[name], by, message, &nothing_open)?;
    }
    Ok(())
}

fn name_of(queue: &SocketQueue, at: usize) -> &[u8] {
    queue.senders.get(at).map_or(&[][..], |sender| &sender.0)
}

fn add_sender<'q>(
    make: &mut Factory<'_>,
    to: Named<'_>,
    name: &'q [u8],
    own: &mut Senders<'q>,
) -> Result<()> {
    if own.contains_key(name) {
        return Ok(());
    }
    let from = match sender(make, to, name) {
        Err(e) if !name.is_empty() => {
            make.note(to.0, vec![lost(name, e.cause())]);
            sender(make, to, &[])?
        }
        made => made?,
    };
    own.insert(name, from);
    Ok(())
}

/// A queue that is to be filled late.
pub(crate) struct Delivery {
    to: FileId,
    /// Senders by their addresses.
    own: BTreeMap<Vec<u8>, OwnedFd>,
}

impl Delivery {
    /// Makes the senders that are not of the tree.
    pub fn prepare(make: &mut Factory<'_>, to: Named<'_>, queue: &SocketQueue) -> Result<Self> {
        let mut own = Senders::new();
        for at in 0..queue.messages.len() {
            let name = name_of(queue, at);
            let of_tree = make.names.sender(name).is_some_and(|ino| make.unix.contains_key(&ino));
            if !of_tree {
                add_sender(make, to, name, &mut own)?;
            }
        }
        let own = own.into_iter().map(|(name, fd)| (name.to_vec(), fd)).collect();
        Ok(Self { to: to.0, own })
    }

    /// The receiver.
    pub fn to(&self) -> FileId {
        self.to
    }

    /// Sends all of it.
    pub fn send(&self, make: &Factory<'_>, sockets: &Sockets, open: &Open<'_>) -> Result<()> {
        let gone = || Error::because("send a datagram", "its sender could not be made");
        let to = make.tree.get::<UnixSocket>(self.to).ok_or_else(gone)?;
        let queue = make.tree.get::<SocketQueue>(to.ino).ok_or_else(gone)?;
        for (at, message) in messages(queue)?.into_iter().enumerate() {
            let by = ((self.to, to), queue, at);
            match self.own.get(name_of(queue, at)) {
                Some(from) => send_quietly(sockets, from, by, message, open)?,
                None => sent_by_the_tree(make, sockets, by, message, open).ok_or_else(gone)??,
            }
        }
        Ok(())
    }
}

/// A message of the queue of a socket, by its number there.
type By<'a> = (Named<'a>, &'a SocketQueue, usize);

fn send_quietly(
    sockets: &Sockets,
    from: &OwnedFd,
    (to, queue, at): By<'_>,
    message: &[u8],
    open: &Open<'_>,
) -> Result<()> {
    let ends: Vec<&OwnedFd> = [from].into_iter().chain(sockets.get(&to.1.ino)).collect();
    let _quiet = Quiet::of(&ends)?;
    send_on(from, (queue, at), message, None, open)
}

/// Gives a socket the address of a sender, where nobody else sees it if it is that of a file.
pub(crate) fn name_sender(make: &Factory<'_>, id: FileId, fd: &OwnedFd, name: &[u8]) -> Result<()> {
    let to = address(name);
    match name.first() {
        None => Ok(()),
        Some(0) => make.within(id, || bind_raw(fd.as_fd(), &to)),
        Some(_) => PrivateRoot::new()?.within(path_of(name), || bind_raw(fd.as_fd(), &to)),
    }
}

/// Notes which of the datagrams from a connected peer were sent by others, before it was connected.
pub(crate) fn note_strangers(make: &mut Factory<'_>, id: FileId, queue: &SocketQueue, peer: &[u8]) {
    let strangers = queue.senders.iter().filter(|it| !it.0.is_empty() && it.0 != peer);
    let notes = strangers.map(|sender| lost(&sender.0, "the receiver is connected to another"));
    let notes: Vec<String> = notes.collect();
    make.note(id, notes);
}

fn lost(name: &[u8], why: impl std::fmt::Display) -> String {
    let name = Bytes::from(name);
    format!("a datagram that is queued in it has no longer the address {name} of its sender: {why}")
}

/// A socket that is connected to the receiver.
fn sender(make: &Factory<'_>, to: Named<'_>, name: &[u8]) -> Result<OwnedFd> {
    let fd = socket(libc::AF_UNIX, to.1.sock_type as i32, 0)?;
    name_sender(make, to.0, &fd, name)?;
    connect(make, &fd, to)?;
    Ok(fd)
}

/// Has the socket of the tree that has the address of the sender send a message; `None` where there is no such socket.
fn sent_by_the_tree(
    make: &Factory<'_>,
    sockets: &Sockets,
    (to, queue, at): By<'_>,
    message: &[u8],
    open: &Open<'_>,
) -> Option<Result<()>> {
    let name = name_of(queue, at);
    if name.is_empty() {
        return None;
    }
    let from = make.names.sender(name).and_then(|ino| sockets.get(&ino))?;
    let ends: Vec<&OwnedFd> = [from].into_iter().chain(sockets.get(&to.1.ino)).collect();
    let address = address_of(make, to.1);
    // What it carries is open in this thread as well as in the other one.
    let files = queue.carried(at).map_or(&[][..], |carried| &carried.files);
    let fds =
        files.iter().map(|file| Ok((*file, open(*file)?))).collect::<Result<BTreeMap<_, _>>>();
    let fds = match fds {
        Ok(fds) => fds,
        Err(e) => return Some(Err(e)),
    };
    Some(Quiet::of(&ends).and_then(|_quiet| {
        within(make, to, || {
            let none = || Error::because("send a datagram", "what it carries is not open");
            let open = |file: FileId| fds.get(&file).copied().ok_or_else(none);
            send_on(from, (queue, at), message, Some(&address), &open)
        })
    }))
}
