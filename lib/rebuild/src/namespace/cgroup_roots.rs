//! Roots of cgroup namespaces, which are made with the cgroups of the tree ([`crate::cgroups`]).

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::CgroupRoots;
use floe_sys::Result;

impl ForNamespace for CgroupRoots {
    fn stand(&self, _: &mut Spaces<'_>) -> Result<()> {
        Ok(())
    }
}
