//! Roots of cgroup namespaces (cgroup_namespaces(7)).

use crate::{Bytes, Link, NsId, NsKind, Resource, ensure, sane};
use serde::{Deserialize, Serialize};

/// Most hierarchies: more than a kernel has controllers.
const MOST: usize = 256;

/// The cgroups that a cgroup namespace of the tree's own shows as the roots of their hierarchies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CgroupRoots {
    /// The namespace.
    pub id: NsId,
    /// Each hierarchy as /proc/PID/cgroup names it, with the path of the root, from the cgroup namespace of `freeze`.
    pub roots: Vec<(Bytes, Bytes)>,
}

impl Resource for CgroupRoots {
    type Key = NsId;
    fn key(&self) -> NsId {
        self.id
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Namespace(self.id, NsKind::Cgroup));
    }

    fn check(&self) -> Result<(), String> {
        ensure(self.roots.len() <= MOST, "it has more hierarchies than there are")?;
        let names = self.roots.iter().map(|(hierarchy, _)| hierarchy);
        ensure(sane::ascending(names), "a hierarchy is there twice")?;
        self.roots.iter().try_for_each(|(hierarchy, path)| {
            sane::text(hierarchy)?;
            sane::path(path)?;
            ensure(!path.0.contains(&b'\n'), "a path is none of a cgroup")
        })
    }
}
