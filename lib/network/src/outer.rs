//! Pairs of interfaces whose other end is in another network namespace.

use crate::{
    Message, Netlink,
    link::{UP, attribute::*},
    make::{SET_LINK, by_index, head},
};
use floe_sys::{Error, Result};
use nix::sched::{CloneFlags, setns};
use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, BorrowedFd},
};

/// IFLA_NET_NS_FD.
const SPACE: u16 = 28;

/// Other ends, by the names of the interfaces here.
pub type OuterEnds<'a> = BTreeMap<Vec<u8>, OuterEnd<'a>>;

/// Such an end.
#[derive(Clone, Debug)]
pub struct OuterEnd<'a> {
    /// Its name there.
    pub name: Vec<u8>,
    /// The bridge there that it is a port of.
    pub bridge: Option<Vec<u8>>,
    /// Its number, where it is in the namespace of this end.
    pub index: u32,
    /// The namespace; `None` for that of this end.
    pub space: Option<BorrowedFd<'a>>,
}

impl OuterEnd<'_> {
    /// What it is made with.
    pub(crate) fn message(&self) -> Message {
        let named = |index| Message::new(head(index, 0, 0)).text(NAME, &self.name);
        match self.space {
            Some(space) => named(0).number(SPACE, space.as_raw_fd().cast_unsigned()),
            // The number that it would get may be that of another one.
            None => named(self.index),
        }
    }

    /// Makes it a port, and brings it up.
    ///
    /// # Errors
    /// Where the bridge is not there, and those of netlink and setns(2).
    pub fn connect(&self) -> Result<()> {
        let doing = format!("connect the interface {}", String::from_utf8_lossy(&self.name));
        floe_sys::apart(&doing, || {
            if let Some(space) = self.space {
                setns(space, CloneFlags::CLONE_NEWNET).map_err(|e| Error::new(&doing, e))?;
            }
            let net = Netlink::route()?;
            let there = by_index(&net)?;
            let index = |name: &[u8]| {
                let found = there.values().find(|link| link.name == name);
                let gone = || format!("there is no {}", String::from_utf8_lossy(name));
                found.map(|link| link.index).ok_or_else(|| Error::because(&doing, gone()))
            };
            let mut message = Message::new(head(index(&self.name)?, UP, UP));
            if let Some(bridge) = &self.bridge {
                message = message.number(MASTER, index(bridge)?);
            }
            net.change(SET_LINK, 0, &message, &doing)
        })
    }
}
