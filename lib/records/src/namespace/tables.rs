//! Tables of nf_tables (nft(8)), those of iptables-nft(8) among them.

use crate::{Link, NetMessage, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Bytes of `struct nfgenmsg`.
const HEAD: usize = 4;
/// Most of them.
const MOST: usize = 1 << 20;
/// NFT_MSG_NEWTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM, NEWOBJ and NEWFLOWTABLE.
const MAKE: [u16; 7] = [0, 3, 6, 9, 12, 18, 22];

/// All tables of nf_tables of a network namespace of the tree's own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NfTables {
    /// The namespace.
    pub id: NsId,
    /// What makes them in one transaction: the number of each message (NFT_MSG_…), and the message.
    pub all: Vec<(u16, NetMessage)>,
}

impl Resource for NfTables {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Net));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST, "it has too many messages")?;
        let makes = self.all.iter().all(|(number, _)| MAKE.contains(number));
        ensure(makes, "a message of it makes nothing")?;
        self.all.iter().try_for_each(|(_, message)| message.check(HEAD))
    }
}
