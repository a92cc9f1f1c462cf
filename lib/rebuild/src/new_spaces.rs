//! Namespaces that the tree had of its own are made anew, before anything else is: restore goes into them itself, so that sockets
//! are made there and every process is born there.

use crate::here::Here;
use floe_records::{Namespace, Namespaces, NsKind, Tree};
use floe_sys::{Error, Result};
use nix::sched::{CloneFlags, unshare};

/// What can be made so. A pid namespace takes a process of its own.
const KINDS: [(NsKind, CloneFlags); 3] = [
    (NsKind::Ipc, CloneFlags::CLONE_NEWIPC),
    (NsKind::Net, CloneFlags::CLONE_NEWNET),
    (NsKind::Uts, CloneFlags::CLONE_NEWUTS),
];

/// Kinds of which the root of the tree has a namespace of its own that restore is to make; `told` are those of which the user has
/// said where the tree belongs. One that restore has been started in is there already.
pub fn new_spaces(tree: &Tree, told: &[NsKind], here: &Here) -> Vec<NsKind> {
    let same_boot = here.is_same_boot(tree);
    let Some(members) = tree.root().and_then(|root| tree.get::<Namespaces>(root.pid)) else {
        return Vec::new();
    };
    let kinds = KINDS.iter().map(|(kind, _)| *kind).chain([NsKind::Pid]);
    let is_own = |kind: &NsKind| {
        let mut all = members.all().into_iter();
        let id = all.find(|(name, _)| *name == kind.name()).map(|(_, id)| id);
        id.and_then(|id| tree.get::<Namespace>(id))
            .is_some_and(|space| !space.inherited && here.is_in(space, same_boot) != Some(true))
    };
    kinds.filter(|kind| !told.contains(kind)).filter(is_own).collect()
}

/// Makes namespaces of these kinds, but for a pid namespace, and goes there. The calling thread must be the only one.
///
/// # Errors
/// Those of unshare(2).
pub fn make_new(kinds: &[NsKind]) -> Result<()> {
    for (kind, flag) in KINDS.iter().filter(|(kind, _)| kinds.contains(kind)) {
        unshare(*flag).map_err(|e| Error::new(format!("make a {} namespace", kind.name()), e))?;
    }
    Ok(())
}
