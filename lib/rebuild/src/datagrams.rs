//! Datagrams that were queued in UNIX sockets: each comes from a socket that has the address of its sender. That may be one of the
//! tree; another one is made for the purpose, and its address stays with the datagram when it is closed.

use crate::{
    factory::Factory,
    file::unix::{Named, address, address_of, connect, within},
    object::socket_queue::{messages, send_on},
    private::PrivateRoot,
    socket_file::path_of,
};
use floe_records::*;
use floe_sys::{Result, bind_raw, send_to, socket};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
};

/// Fills the queue of a socket that is bound and not connected yet.
pub(crate) fn deliver(make: &mut Factory<'_>, to: Named<'_>, queue: &SocketQueue) -> Result<()> {
    let mut own: BTreeMap<&[u8], OwnedFd> = BTreeMap::new();
    for (at, message) in messages(queue)?.into_iter().enumerate() {
        let name = queue.senders.get(at).map_or(&[][..], |sender| &sender.0);
        if sent_by_the_tree(make, to, name, message) {
            continue;
        }
        if !own.contains_key(name) {
            let from = match sender(make, to, name) {
                Err(e) if !name.is_empty() => {
                    make.note(to.0, vec![lost(name, e.cause())]);
                    sender(make, to, &[])?
                }
                made => made?,
            };
            own.insert(name, from);
        }
        send_on(&own[name], message)?;
    }
    Ok(())
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

/// Whether a socket of the tree has that address, and has sent the message.
fn sent_by_the_tree(make: &Factory<'_>, to: Named<'_>, name: &[u8], message: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    let Some(from) = make.names.sender(name).and_then(|ino| make.unix.get(&ino)) else {
        return false;
    };
    let at = address_of(make, to.1);
    within(make, to, || send_to(from.as_fd(), message, &at)).is_ok()
}
