//! Variables of a network namespace (files below /proc/sys/net).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// Most of them; longest value.
const MOST: usize = 1 << 20;
const LONGEST: usize = 16 << 10;

/// All variables of a network namespace of the tree's own that can be set. Those that differ in the new one are written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetVariables {
    /// The namespace.
    pub id: NsId,
    /// Path below /proc/sys/net, and value, without the line break at its end; by ascending path.
    pub all: Vec<(Bytes, Bytes)>,
}

impl Resource for NetVariables {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Net));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST, "it has too many variables")?;
        let names = self.all.iter().map(|(name, _)| name);
        ensure(sane::ascending(names), "a variable is there twice")?;
        self.all.iter().try_for_each(|(name, value)| {
            let below = name.0.split(|byte| *byte == b'/').all(sane::is_name);
            ensure(below, "a variable has an impossible name")?;
            ensure(value.0.len() <= LONGEST, "a variable has an impossible value")
        })
    }
}
