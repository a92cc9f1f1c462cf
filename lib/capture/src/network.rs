//! What capture reads of network namespaces, as records have it.

use crate::{Result, own_spaces};
use floe_network::{Message, Netlink, Sort, Variables};
use floe_records::{Bytes, NetMessage, NsId, NsKind, Tree};
use std::{
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

/// Files of variables, opened before a tree is stopped.
static OPEN: Mutex<Option<Variables>> = Mutex::new(None);
/// A thread that reads them.
static READING: Mutex<Option<JoinHandle<Read>>> = Mutex::new(None);

/// Names and values.
type Values = Vec<(Vec<u8>, Vec<u8>)>;
type Read = floe_sys::Result<(Variables, Values)>;

/// Opens the files of all variables of our network namespace: that takes longer than reading them, and a tree that stands still
/// need not wait for it.
pub(crate) fn open_variables() -> Result<()> {
    let open = Variables::open()?;
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    Ok(())
}

/// Begins to read them; the tree stands still, and there is other work meanwhile.
pub(crate) fn begin_reading() {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    let reading = open.map(|open| std::thread::spawn(|| open.read().map(|all| (open, all))));
    *READING.lock().unwrap_or_else(PoisonError::into_inner) = reading;
}

/// Names and values of all variables of a namespace with these interfaces, which the calling thread is in.
pub(crate) fn variables(names: &[Vec<u8>]) -> Result<Values> {
    // Those of our own namespace were read before.
    let name = NsKind::Net.name();
    let here = floe_proc::namespace(nix::unistd::gettid().as_raw() as u32, name)?;
    if here != floe_proc::namespace(std::process::id(), name)? {
        return Ok(Variables::open()?.read()?);
    }
    let reading = READING.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Ok(Ok((open, all)))) = reading.map(JoinHandle::join)
        && open.are_of(names.iter().map(Vec::as_slice))
    {
        return Ok(all);
    }
    Ok(Variables::open()?.read()?)
}

/// Does something in each network namespace of the tree's own.
pub(crate) fn each<T: Send>(
    tree: &Tree,
    look: impl Fn(NsId, &Netlink) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    own_spaces::each(tree, NsKind::Net, |id| Ok(vec![look(id, &Netlink::route()?)?]))
}

/// All there are of a sort.
pub(crate) fn all(sort: &Sort, net: &Netlink) -> Result<Vec<NetMessage>> {
    Ok(sort.all(net)?.into_iter().map(record).collect())
}

/// One behind the other.
pub(crate) fn attributes(attributes: Vec<(u16, Vec<u8>)>) -> Bytes {
    Message { head: Vec::new(), attributes }.to_bytes().into()
}

pub(crate) fn record(message: Message) -> NetMessage {
    NetMessage { head: message.head.into(), attributes: attributes(message.attributes) }
}
