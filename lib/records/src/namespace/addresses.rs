//! Addresses of interfaces (ip-address(8)).

use crate::{Link, NetMessage, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of `struct ifaddrmsg`.
const HEAD: usize = 8;
/// Most of them.
const MOST: usize = 1 << 20;

/// All addresses of a network namespace of the tree's own, IPv4 and IPv6.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// The namespace.
    pub id: NsId,
    /// As RTM_NEWADDR takes them, in the order of the kernel.
    pub all: Vec<NetMessage>,
}

impl Resource for Addresses {
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
