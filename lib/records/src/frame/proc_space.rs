//! File systems of the type proc.

use crate::{Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// Whose processes a file system of the type proc shows, where a [`MountTree`](crate::MountTree) has it and they are those of a pid
/// namespace below that of the root. Written by `dumpmnt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcSpace {
    /// Device of the file system, as makedev(3) packs it.
    pub dev: u64,
    /// The pid namespace.
    pub id: NsId,
}

impl Resource for ProcSpace {
    type Key = u64;
    fn key(&self) -> u64 {
        self.dev
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.dev != 0, "it has no device")
    }
}
