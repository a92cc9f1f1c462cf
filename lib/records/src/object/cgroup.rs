//! Cgroups (cgroups(7)) of version 1 and 2 that threads of the tree are in, and those on the way there. What is written to their
//! files is said by [`CGROUP_PROPERTIES`](crate::CGROUP_PROPERTIES).

use crate::{Bytes, Link, Pid, Resource, Tid, cgroup_property, ensure, sane};
use serde::{Deserialize, Serialize};

/// A cgroup. Those of a hierarchy stand in the order of their paths.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroup {
    /// Its hierarchy as /proc/PID/cgroup names it, `cpu,cpuacct` or `name=systemd`; nothing for version 2.
    pub hierarchy: Bytes,
    /// Its path there, from the cgroup namespace of `freeze`.
    pub path: Bytes,
    /// Which part of the tree is in it.
    pub members: Members,
    /// Its directory; `None` where `freeze` saw none, and for `/`, which is always there.
    pub directory: Option<CgroupDirectory>,
}

/// Which part of a tree is in a cgroup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Members {
    /// These threads.
    Listed(Vec<(Pid, Tid)>),
    /// All threads that no other cgroup of its hierarchy lists; that is where the root task is.
    Others,
}

impl Members {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        !matches!(self, Self::Listed(all) if all.is_empty())
    }
}

/// What makes a cgroup again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CgroupDirectory {
    /// `st_mode` permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// It was told to freeze its tasks (cgroup.freeze, freezer.state).
    pub frozen: bool,
    /// Contents of those files in it that [`CGROUP_PROPERTIES`](crate::CGROUP_PROPERTIES) knows.
    pub properties: Vec<(Bytes, Bytes)>,
    /// Files in it that were given to somebody: name, owner and group, permission bits.
    pub files: Vec<(Bytes, (u32, u32), u32)>,
}

/// Most bytes of a value, and most values and files.
const LONGEST: usize = 64 << 10;
const MOST: usize = 1024;

impl CgroupDirectory {
    fn check(&self) -> Result<(), String> {
        let modes = self.files.iter().map(|(.., mode)| *mode).chain([self.mode]);
        ensure(modes.into_iter().all(|mode| mode <= 0o7777), "it has impossible permissions")?;
        let few = self.properties.len().max(self.files.len()) <= MOST;
        ensure(few, "it has more files than any cgroup")?;
        // No other file is written to, wherever the stream comes from.
        let known = |(name, value): &(Bytes, Bytes)| {
            sane::is_name(&name.0) && cgroup_property(&name.0).is_some() && value.0.len() <= LONGEST
        };
        ensure(self.properties.iter().all(known), "it has a property that is not carried")?;
        ensure(
            self.files.iter().all(|(name, ..)| sane::is_name(&name.0)),
            "a file in it has no name",
        )
    }
}

impl Cgroup {
    /// How people know a cgroup: `cpu,cpuacct:/a`, and `/a` of version 2.
    pub fn shown(hierarchy: &Bytes, path: &Bytes) -> String {
        let colon = if hierarchy.0.is_empty() { "" } else { ":" };
        format!("{hierarchy}{colon}{path}")
    }
}

impl Resource for Cgroup {
    type Key = (Bytes, Bytes);
    fn key(&self) -> Self::Key {
        (self.hierarchy.clone(), self.path.clone())
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        if let Members::Listed(threads) = &self.members {
            threads.iter().for_each(|(pid, tid)| visit(Link::Thread(*pid, *tid)));
        }
    }

    fn check(&self) -> Result<(), String> {
        sane::text(&self.hierarchy)?;
        sane::path(&self.path)?;
        let mut names = self.path.0[1..].split(|byte| *byte == b'/');
        // Seen from a cgroup namespace, those outside of it begin with `/..`.
        let whole = self.path.0 == b"/" || names.all(|name| name == b".." || sane::is_name(name));
        ensure(whole && !self.path.0.contains(&b'\n'), "its path is none of a cgroup")?;
        self.directory.as_ref().map_or(Ok(()), CgroupDirectory::check)
    }
}
