//! Routes (ip-route(8)), and next hops that have a number (ip-nexthop(8)).

use crate::{Link, NetMessage, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of `struct rtmsg` and `struct nhmsg`.
const ROUTE: usize = 12;
const NEXT_HOP: usize = 8;
/// Most of them.
const MOST: usize = 1 << 20;

/// All routes of a network namespace of the tree's own, IPv4 and IPv6, those that the kernel makes among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// The namespace.
    pub id: NsId,
    /// As RTM_NEWNEXTHOP takes them.
    pub next_hops: Vec<NetMessage>,
    /// As RTM_NEWROUTE takes them.
    pub all: Vec<NetMessage>,
}

impl Resource for Routes {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Net));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST && self.next_hops.len() <= MOST, "it has too many")?;
        self.next_hops.iter().try_for_each(|message| message.check(NEXT_HOP))?;
        self.all.iter().try_for_each(|message| message.check(ROUTE))
    }
}
