//! POSIX message queues that the tree has not open (mq_overview(7)).

use crate::{Link, NsId, NsKind, Queue, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Most of them.
const MOST: usize = 1 << 20;

/// Message queues of an IPC namespace of the tree's own that no process of it has open. They come back empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedQueues {
    /// The namespace.
    pub id: NsId,
    /// By ascending name.
    pub all: Vec<Queue>,
}

impl Resource for ClosedQueues {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Ipc));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.all.len() <= MOST, "it has too many queues")?;
        self.all.iter().try_for_each(Resource::check)
    }
}
