//! Where freeze has gone to find the tree.

use crate::{NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// The tree has namespaces of its own, and freeze has entered them: all ids of the stream are those of its pid namespace. Later
/// stages go there as well, by the id that the root has where freeze was started. Stands directly behind
/// [`Begin`](crate::Begin).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entered {
    /// The pid namespace that freeze was started in.
    pub from: NsId,
    /// Id of the root of the tree there.
    pub root: u32,
    /// The namespaces that freeze has entered, by ascending kind.
    pub kinds: Vec<(NsKind, NsId)>,
}

impl Entered {
    /// The pid namespace that all ids of the stream are of.
    pub fn pid_namespace(&self) -> NsId {
        self.kinds.iter().find(|(kind, _)| *kind == NsKind::Pid).map_or(self.from, |(_, id)| *id)
    }
}

impl Resource for Entered {
    type Key = ();
    fn key(&self) {}

    fn check(&self) -> Result<(), String> {
        ensure(self.root != 0, "its root has no id")?;
        ensure(self.kinds.is_sorted_by(|a, b| a.0 < b.0), "its kinds do not ascend")
    }
}
