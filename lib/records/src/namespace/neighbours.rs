//! Neighbours (ip-neighbour(8), arp(7)).

use crate::{Link, NetMessage, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of `struct ndmsg`.
const HEAD: usize = 12;
/// Most of them.
const MOST: usize = 1 << 20;

/// Neighbours of a network namespace of the tree's own: addresses of the link layer, and what is answered for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The namespace.
    pub id: NsId,
    /// As RTM_NEWNEIGH takes them. One that was just being looked for is stale.
    pub all: Vec<NetMessage>,
}

impl Resource for Neighbours {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Net));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST, "it has too many")?;
        self.all.iter().try_for_each(|message| message.check(HEAD))
    }
}
