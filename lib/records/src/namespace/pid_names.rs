//! Ids in pid namespaces below the one of the root (pid_namespaces(7)).

use crate::{Link, NsId, NsKind, Resource, ensure, sane};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// PID_MAX_LIMIT: no id is as high.
const LIMIT: u32 = 4_194_304;

/// What tasks, process groups and sessions of the tree are called in a pid namespace of its own, below the one of the root. All
/// other records have the ids of the latter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PidNames {
    /// The namespace.
    pub id: NsId,
    /// An id as all other records have it, and what it is there. All threads and processes of it and of those below are here, the
    /// leaders of groups and sessions that have ended as well.
    pub names: Vec<(u32, u32)>,
}

impl Resource for PidNames {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure(sane::ascending(self.names.iter().map(|name| name.0)), "an id is there twice")?;
        let inside: BTreeSet<u32> = self.names.iter().map(|name| name.1).collect();
        ensure(inside.len() == self.names.len(), "two have the same id inside")?;
        let possible = inside.iter().all(|id| (1..LIMIT).contains(id));
        ensure(possible, "no process has such an id")
    }
}
