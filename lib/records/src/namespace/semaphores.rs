//! Sets of System V semaphores (semget(2)).

use crate::{Link, NsId, NsKind, Resource, ensure};
use serde::{Deserialize, Serialize};

/// SEMVMX of include/uapi/linux/sem.h; most semaphores of a set that a record has room for.
const HIGHEST: u16 = 32_767;
const MOST: usize = 1 << 20;

/// A set of semaphores in an IPC namespace of the tree's own. Who was the last to change one, and when, does not come back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Semaphores {
    /// The namespace.
    pub space: NsId,
    /// Its identifier.
    pub id: u32,
    /// Key; 0 (IPC_PRIVATE) for none.
    pub key: i32,
    /// Permissions.
    pub mode: u32,
    /// User and group that it belongs to.
    pub owner: [u32; 2],
    /// User and group that made it.
    pub creator: [u32; 2],
    /// Value of each.
    pub values: Vec<u16>,
}

impl Resource for Semaphores {
    type Key = (NsId, u32);
    fn key(&self) -> (NsId, u32) {
        (self.space, self.id)
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.space, NsKind::Ipc));
    }

    fn check(&self) -> Result<(), String> {
        let sane = self.id <= i32::MAX as u32 && self.mode <= 0o777;
        ensure(sane && (1..=MOST).contains(&self.values.len()), "it is no set of semaphores")?;
        ensure(self.values.iter().all(|value| *value <= HIGHEST), "a value in it is too high")
    }
}
