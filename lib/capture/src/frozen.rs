//! Cgroups that are frozen while a tree is captured.
//!
//! Threads that do not run cannot be asked anything. So they are seized while they are frozen and thawed then: each comes to a
//! stand before it runs an instruction. Before they are let go all is frozen again. Nothing else may be in such a cgroup, since
//! it would run meanwhile.

use crate::{Result, object::cgroup::Place};
use floe_cgroups::Directory;
use floe_sys::LastWrite;
use std::sync::Arc;

/// A frozen cgroup: hierarchy and path, and its directory.
type Cgroup = (Place, Arc<Directory>);

/// Cgroups of a tree that are frozen, and may be thawed.
#[derive(Debug, Default)]
pub struct Frozen(pub(crate) Vec<Cgroup>);

impl Frozen {
    /// Thaws them. Whatever ends us, they are frozen again.
    pub(crate) fn thaw(self) -> Result<Thawed> {
        if self.0.is_empty() {
            return Ok(Thawed::default());
        }
        let files: floe_sys::Result<Vec<_>> =
            self.0.iter().map(|(_, directory)| directory.freezer()).collect();
        let watch = Some(LastWrite::to(&files?)?);
        let thawed = Thawed { cgroups: self.0, watch };
        for (_, directory) in &thawed.cgroups {
            directory.freeze(false)?;
        }
        Ok(thawed)
    }
}

/// Cgroups that were thawed; dropped, they are frozen again.
#[derive(Debug, Default)]
pub(crate) struct Thawed {
    cgroups: Vec<Cgroup>,
    watch: Option<LastWrite>,
}

impl Thawed {
    /// Leaves them thawed: what is in them is about to die, which of version 1 nothing does that is frozen.
    pub fn leave(mut self) {
        self.cgroups.clear();
    }

    /// Whether none was frozen.
    pub fn is_empty(&self) -> bool {
        self.cgroups.is_empty()
    }

    /// Whether this cgroup was frozen.
    pub fn contains(&self, place: &Place) -> bool {
        self.cgroups.iter().any(|(frozen, _)| frozen == place)
    }
}

impl Drop for Thawed {
    fn drop(&mut self) {
        let frozen = self.cgroups.iter().all(|(_, directory)| directory.freeze(true).is_ok());
        // It tries once more where we could not.
        if let Some(watch) = self.watch.take().filter(|_| frozen) {
            let _ = watch.dismiss();
        }
    }
}
