//! Open namespaces (namespaces(7), /proc/PID/ns).

use crate::{FileId, Link, NsId, NsKind, Resource};
use serde::{Deserialize, Serialize};

/// A namespace that a process of the tree is a member of, or whose children are to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceFile {
    /// The open file description.
    pub file: FileId,
    /// Its kind.
    pub kind: NsKind,
    /// Which.
    pub namespace: NsId,
}

impl Resource for NamespaceFile {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.namespace, self.kind));
    }
}
