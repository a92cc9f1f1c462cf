//! File systems that show a namespace: sysfs a network namespace, mqueue an IPC namespace.

use crate::{Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Which file system shows a namespace of the tree's own: a mount of it is of that namespace, wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceDevice {
    /// The namespace.
    pub id: NsId,
    /// Its kind, Net or Ipc.
    pub kind: NsKind,
    /// Device of the file system, as makedev(3) packs it.
    pub dev: u64,
}

impl Resource for SpaceDevice {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, self.kind));
    }

    fn check(&self) -> Result<(), String> {
        ensure(matches!(self.kind, NsKind::Net | NsKind::Ipc), "nothing shows its kind")?;
        ensure(self.dev != 0, "it has no device")
    }
}
