//! Sockets of each network namespace that a tree has: sock_diag(7) tells of those in the namespace where it is asked.

use crate::{
    Result, own_spaces,
    sock_diag::{InetSockets, UnixSockets},
};
use floe_records::{NsKind, Pid};
use floe_sys::Error;
use std::{collections::BTreeMap, fs::File, os::fd::AsFd};

/// The sockets of a network namespace.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub unix: UnixSockets,
    pub inet: InetSockets,
    /// The namespace, where that is not our own.
    space: Option<File>,
}

impl Sockets {
    /// Asks in the namespace.
    pub fn ask<T: Send, E: Send + From<Error>>(
        &self,
        ask: impl FnOnce(&Self) -> std::result::Result<T, E> + Send,
    ) -> std::result::Result<T, E> {
        let Some(space) = &self.space else { return ask(self) };
        floe_sys::apart_in(space.as_fd(), "network", || ask(self))
    }
}

/// Those of all that the processes of a tree are in.
#[derive(Debug, Default)]
pub(crate) struct NetSpaces {
    /// Our own.
    own: (Option<u64>, Sockets),
    /// Others, by number.
    others: BTreeMap<u64, Sockets>,
}

impl NetSpaces {
    /// Those of these processes.
    pub fn of(pids: &[Pid]) -> Result<Self> {
        let (own, others) = own_spaces::others(pids, NsKind::Net)?;
        let sockets = |space| Sockets { space: Some(space), ..Sockets::default() };
        let others = others.into_iter().map(|(number, space)| (number, sockets(space))).collect();
        Ok(Self { own: (own, Sockets::default()), others })
    }

    /// Whether there is more than one.
    pub fn several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether it is one of them.
    pub fn has(&self, number: u64) -> bool {
        self.is_own(number) || self.others.contains_key(&number)
    }

    /// Whether it is our own.
    pub fn is_own(&self, number: u64) -> bool {
        self.own.0 == Some(number)
    }

    /// Those of a namespace; of one that is not the tree's nothing is known, wherever it is asked.
    pub fn sockets(&self, number: Option<u64>) -> &Sockets {
        number.and_then(|number| self.others.get(&number)).unwrap_or(&self.own.1)
    }
}
