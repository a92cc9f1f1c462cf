//! The network, kept away from the TCP connections of a tree from the stop on.

use crate::{
    Result,
    files::Files,
    object::tcp_connection::{TOGETHER, connections, duplicate},
};
use floe_netlock::{Connection, Held, Network, new_id};
use floe_records::{FdNum, NetworkLock, Pid};
use floe_sys::{Error, Repairs};
use nix::sys::stat::fstat;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
};

/// Connections that the network is kept away from until this is dropped, or we die.
#[derive(Debug)]
pub(crate) struct Connections {
    id: u64,
    /// By the inode of their network namespace.
    spaces: BTreeMap<u64, Space>,
}

/// Those of a network namespace.
#[derive(Debug)]
struct Space {
    held: Held,
    known: Known,
}

/// Their addresses, and where they are open.
#[derive(Debug, Default)]
struct Known {
    all: BTreeSet<Connection>,
    places: Vec<(Pid, FdNum)>,
}

impl Connections {
    /// Locks the network of all connections among these files; `None` where there is none.
    pub fn hold(files: &Files) -> Result<Option<Self>> {
        let mut found: BTreeMap<u64, Known> = BTreeMap::new();
        for it in connections(files) {
            let fd = duplicate(it.pid, it.fd)?;
            let space = floe_sys::network_namespace(fd.as_fd())?;
            let ino = fstat(space).map_err(|e| Error::new("read a network namespace", e))?.st_ino;
            let known = found.entry(ino).or_default();
            let socket = &it.socket.socket;
            let none = || Error::because("lock the network", "a connection has no addresses");
            known.all.insert(Connection::of(&socket.name.0, &socket.peer.0).ok_or_else(none)?);
            known.places.push((it.pid, it.fd));
        }
        if found.is_empty() {
            return Ok(None);
        }
        let (id, mut spaces) = (new_id()?, BTreeMap::new());
        for (ino, known) in found {
            let Some((pid, fd)) = known.places.first() else { continue };
            let held = Network::of(duplicate(*pid, *fd)?.as_fd())?.hold(id, &known.all)?;
            spaces.insert(ino, Space { held, known });
        }
        Ok(Some(Self { id, spaces }))
    }

    /// Gives the network back at once.
    pub fn unlock(&mut self) -> floe_sys::Result<()> {
        self.spaces.values_mut().try_for_each(|space| space.held.unlock(None))
    }

    /// Gives the network back behind the death of the tree, where nobody else will.
    pub fn forget(&mut self) -> floe_sys::Result<()> {
        let id = self.id;
        self.spaces.values_mut().try_for_each(|space| space.held.unlock(Some(id)))
    }

    /// What restore must know.
    pub fn record(&self) -> NetworkLock {
        NetworkLock { id: self.id }
    }

    /// Makes ready for the death of the tree: the network stays locked behind our own death, unless the result is dropped.
    pub fn leave(&self, root: u32) -> Result<Left> {
        let (mut left, root) = (Left(Vec::new()), floe_sys::pidfd_open(root as i32)?);
        let removal = Network::removal(self.id);
        for space in self.spaces.values() {
            let network = space.held.network();
            let mut first = Some((network.socket(), removal.as_slice()));
            for some in space.known.places.chunks(TOGETHER) {
                let sockets = some.iter().map(|(pid, fd)| duplicate(*pid, *fd));
                let sockets = sockets.collect::<Result<_, _>>()?;
                left.0.push(Repairs::watch(sockets, first.take(), Some(root.as_fd()))?);
            }
            network.leave(self.id, &space.known.all)?;
        }
        Ok(left)
    }
}

/// Connections that end in silence.
#[derive(Debug)]
pub(crate) struct Left(Vec<Repairs>);

impl Left {
    /// From now on the tree may die with us.
    pub fn turn(&self) -> Result<()> {
        Ok(self.0.iter().try_for_each(Repairs::turn)?)
    }

    /// The tree dies, and be it with us: no connection tells its peer of its end.
    pub fn silence(&mut self) {
        for repairs in &mut self.0 {
            // The network is locked: nothing of one that could not be silenced comes through.
            (0..repairs.sockets().len()).for_each(|at| drop(repairs.begin(at)));
            repairs.close();
        }
    }

    /// The tree is dead: the lock stays.
    pub fn keep(self) -> Result<()> {
        Ok(self.0.into_iter().try_for_each(Repairs::dismiss)?)
    }
}
