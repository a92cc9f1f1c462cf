//! File systems of the type proc that show pid namespaces below that of the root: they are mounted when those are there, and with them
//! all that is mounted on them.

use super::{Mounts, bases::system_of, groups};
use crate::mounts::Outer;
use floe_mounts::mount_anew;
use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, OwnedFd},
};

/// File systems that come late, by their devices, each with the pid namespace that it shows.
pub(super) fn late(tree: &Tree) -> BTreeMap<u64, NsId> {
    tree.all::<ProcSpace>().iter().map(|it| (it.dev, it.id)).collect()
}

impl Mounts {
    /// Mounts what shows pid namespaces below that of the root, `open` by their numbers, and puts all mounts into their groups. Gives what
    /// could not be had, in words.
    pub fn finish<'o>(
        &self,
        tree: &Tree,
        outer: &Outer,
        open: &dyn Fn(NsId) -> Result<&'o OwnedFd>,
    ) -> Result<Vec<String>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let trees: Vec<&MountTree> =
            waiting.keys().filter_map(|id| tree.get::<MountTree>(*id)).collect();
        let mut made = BTreeMap::new();
        let wanted: BTreeSet<u64> =
            waiting.values().flat_map(|built| built.late_systems()).collect();
        for (dev, id) in late(tree) {
            let system = trees.iter().find_map(|tree| tree.system(dev));
            if let Some(system) = system.filter(|_| wanted.contains(&dev)) {
                let mount =
                    floe_sys::open_in_pids(open(id)?.as_fd(), || mount_anew(&system_of(system)))?;
                made.insert(dev, mount);
            }
        }
        self.files.in_workshop(|workshop| {
            workshop.finish(waiting.values_mut(), &made).map_err(|(mount, error)| {
                let doing = format!("mount what shows processes (mount {mount})");
                Error::because(doing, error.to_string())
            })
        })?;
        let notes = groups(&trees, &waiting, &outer.groups)?;
        waiting.clear();
        Ok(notes)
    }
}
