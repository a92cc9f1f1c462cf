//! Cgroups of the tree: all of them have been found, or made again, before this ([`crate::cgroups::Cgroups`]).

use crate::{factory::Factory, resource::ForObject};
use floe_records::*;
use floe_sys::Result;

impl ForObject for Cgroup {
    fn make(&self, make: &mut Factory<'_>) -> Result<()> {
        make.cgroups.problem(&self.key())
    }

    fn describe(&self) -> String {
        format!("cgroup {}", Cgroup::shown(&self.hierarchy, &self.path))
    }
}
