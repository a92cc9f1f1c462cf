//! Network namespaces of sockets: that which their maker was in, wherever who has them is by now.

use crate::{Attached, FileId, Link, NsId, NsKind, Property, Resource};
use serde::{Deserialize, Serialize};

/// That of a socket, in a tree that has more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketSpace {
    /// The open file description.
    pub file: FileId,
    /// The namespace.
    pub namespace: NsId,
}

impl Resource for SocketSpace {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.namespace, NsKind::Net));
    }
}

impl Property for SocketSpace {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
