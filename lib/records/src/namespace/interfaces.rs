//! Interfaces of a network namespace (netdevice(7), rtnetlink(7)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure, net_message::attributes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// IFNAMSIZ, with the NUL, and ALTIFNAMSIZ.
const NAME: usize = 16;
const LONG_NAME: usize = 128;
/// Most of them.
const MOST: usize = 65_536;

/// All interfaces of a network namespace of the tree's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interfaces {
    /// The namespace.
    pub id: NsId,
    /// In the order of the kernel.
    pub all: Vec<Interface>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: Bytes,
    /// Other names (`ip link property add altname`).
    pub names: Vec<Bytes>,
    /// What the kernel calls its kind (IFLA_INFO_KIND); nothing for `lo`.
    pub kind: Bytes,
    /// IFF_… of netdevice(7).
    pub flags: u32,
    /// The interface that it is a port of.
    pub master: Option<u32>,
    /// The one that it is made on, or the other end of a pair of veth(4).
    pub lower: Option<u32>,
    /// That is outside of the namespace.
    pub elsewhere: bool,
    /// Its address of the link layer, and that of a broadcast.
    pub addresses: [Bytes; 2],
    /// Most bytes of a packet.
    pub mtu: u32,
    /// Packets that wait to be sent, at most.
    pub queue_length: u32,
    /// Its group.
    pub group: u32,
    /// Text for people.
    pub alias: Bytes,
    /// Queues to send and to receive.
    pub queues: [u32; 2],
    /// Attributes of any interface, one behind the other as rtnetlink(7) has them.
    pub settings: Bytes,
    /// Attributes of its kind (in IFLA_INFO_DATA).
    pub data: Bytes,
    /// Attributes of it as a port (in IFLA_INFO_SLAVE_DATA).
    pub port: Bytes,
}

impl Resource for Interfaces {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Net));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST, "it has too many interfaces")?;
        let (mut indexes, mut names) = (BTreeSet::new(), BTreeSet::new());
        for interface in &self.all {
            interface.check()?;
            let new = indexes.insert(interface.index) && names.insert(&interface.name);
            ensure(new, "two interfaces have the same name or number")?;
        }
        Ok(())
    }
}

/// Whether it can be the name of an interface, which is part of names of files.
fn is_name(name: &Bytes, longest: usize) -> bool {
    let plain = |byte: &u8| !matches!(byte, 0 | b'/' | b':' | b' ' | 9..=13);
    let len = (1..longest).contains(&name.0.len()) && name.0 != b"." && name.0 != b"..";
    len && name.0.iter().all(plain)
}

impl Interface {
    fn check(&self) -> Result<(), String> {
        let number = (1..=i32::MAX as u32).contains(&self.index);
        let named = is_name(&self.name, NAME) && self.names.len() <= 1024;
        let names = named && self.names.iter().all(|name| is_name(name, LONG_NAME));
        ensure(number && names, "an interface has an impossible name or number")?;
        let short = self.addresses.iter().all(|it| it.0.len() <= 32) && self.alias.0.len() < 256;
        ensure(short && self.kind.0.len() < 64, "an interface has an impossible address")?;
        ensure(!self.kind.0.contains(&0) && !self.alias.0.contains(&0), "a text has a zero byte")?;
        let queues = self.queues.iter().all(|count| (1..=4096).contains(count));
        ensure(queues, "an interface has an impossible number of queues")?;
        [&self.settings, &self.data, &self.port].into_iter().try_for_each(attributes)
    }
}
