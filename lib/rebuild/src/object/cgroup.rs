//! Cgroups of the tree: all of them are found, or made again, at once.

use crate::{cgroups::Cgroups, factory::Factory, resource::ForObject};
use floe_records::*;
use floe_sys::Result;

impl ForObject for Cgroup {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        if make.cgroups.is_none() {
            // What has been made stays known, and goes with the factory.
            make.cgroups = Some(Cgroups::new(make.tree, make.cgroup_mode));
        }
        make.cgroups.as_mut().map_or(Ok(()), |all| all.problem(&self.key()))
    }

    fn describe(&self) -> String {
        format!("cgroup {}", Cgroup::shown(&self.hierarchy, &self.path))
    }
}
