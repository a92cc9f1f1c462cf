//! Rules of routing (ip-rule(8)).

use crate::{Link, NetMessage, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of `struct fib_rule_hdr`.
const HEAD: usize = 12;
/// Most of them.
const MOST: usize = 1 << 20;

/// All rules of routing of a network namespace of the tree's own, IPv4 and IPv6.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingRules {
    /// The namespace.
    pub id: NsId,
    /// As RTM_NEWRULE takes them, in their order.
    pub all: Vec<NetMessage>,
}

impl Resource for RoutingRules {
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
