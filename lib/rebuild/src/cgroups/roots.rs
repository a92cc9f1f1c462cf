//! Cgroup namespaces: their roots are where the process is that makes one.
//!
//! In version 2 nothing may be in a cgroup that hands controllers on. So one that is the root of a namespace, and is made by this
//! restore, has its namespace made before controllers are enabled in it.

use super::{Cgroups, put_into, target::Own};
use crate::space_maker::SpaceMaker;
use floe_cgroups::{Directory, Mounts};
use floe_records::*;
use floe_sys::{Error, Result};
use nix::sched::CloneFlags;
use std::{
    collections::BTreeMap,
    os::fd::{BorrowedFd, OwnedFd},
};

/// A cgroup namespace that is to be made.
#[derive(Debug)]
pub(crate) struct NewSpace<'a> {
    of: &'a CgroupRoots,
    maker: SpaceMaker,
}

impl<'a> NewSpace<'a> {
    /// Begins, in the user namespace `owner` where that is not our own.
    pub fn begin(tree: &'a Tree, id: NsId, owner: Option<BorrowedFd<'_>>) -> Result<Self> {
        let none = || Error::because("make a cgroup namespace", "its roots are not in the stream");
        let of = tree.get::<CgroupRoots>(id).ok_or_else(none)?;
        let kind = (NsKind::Cgroup.name(), CloneFlags::CLONE_NEWCGROUP);
        Ok(Self { of, maker: SpaceMaker::start(kind, owner)? })
    }

    /// Its root in the hierarchy of version 2.
    fn unified(&self) -> Option<&Bytes> {
        self.of.roots.iter().find(|(hierarchy, _)| hierarchy.0.is_empty()).map(|(_, path)| path)
    }
}

/// What takes the place of the cgroups of a hierarchy.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// The one that had all of the tree in it, and the one in its place.
    pub old: Vec<u8>,
    pub new: Option<Vec<u8>>,
}

impl Moved {
    /// The path in the place of one. Above the one that had all of the tree in it, it is as far above.
    pub fn path(&self, path: &[u8]) -> Vec<u8> {
        let Some(new) = &self.new else { return path.to_vec() };
        let whole = |path: Vec<u8>| if path.is_empty() { b"/".to_vec() } else { path };
        let bare = new.strip_suffix(b"/").unwrap_or(new);
        if let Some(rest) = floe_cgroups::relative(path, &self.old) {
            return whole([bare, rest].concat());
        }
        let Some(rest) = floe_cgroups::relative(&self.old, path) else { return path.to_vec() };
        let levels = rest.iter().filter(|byte| **byte == b'/').count();
        let slashes = bare.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
        let end = slashes.map(|(at, _)| at).nth(levels.saturating_sub(1)).unwrap_or(0);
        whole(bare[..end].to_vec())
    }
}

impl Cgroups {
    /// The path in the place of one that the tree knew. `hierarchy` says whether one is meant, by its name.
    pub fn moved(&self, path: &[u8], hierarchy: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let found = self.moved.iter().find(|(name, _)| hierarchy(&name.0));
        found.map_or_else(|| path.to_vec(), |(_, moved)| moved.path(path))
    }

    /// Makes those namespaces whose root a new cgroup of version 2 is, and that is in `own`; with none, all that are left.
    pub(super) fn make_spaces(
        &mut self,
        of: Option<(&[u8], &Directory)>,
        left: &mut Vec<NewSpace<'_>>,
        (own, mounts): (&Own, &Mounts),
    ) {
        let unified = Bytes::default();
        let is_due = |me: &Self, space: &NewSpace<'_>| match of {
            None => true,
            Some((path, _)) => {
                let moved = me.moved.get(&unified);
                let root = space.unified().zip(moved).map(|(root, moved)| moved.path(&root.0));
                root.as_deref() == Some(path)
            }
        };
        let (due, later) = std::mem::take(left).into_iter().partition(|space| is_due(self, space));
        *left = later;
        let due: Vec<NewSpace<'_>> = due;
        for space in due {
            let id = space.of.id;
            let made = self.make_space(space, of.map(|(_, new)| new), (own, mounts));
            self.spaces.insert(id, made);
        }
    }

    fn make_space(
        &self,
        space: NewSpace<'_>,
        unified: Option<&Directory>,
        (own, mounts): (&Own, &Mounts),
    ) -> Result<OwnedFd> {
        for (hierarchy, path) in &space.of.roots {
            // One that is not here has no roots, and to be ignored means to come back where restore is.
            let Some((here, moved)) = own.path(hierarchy).zip(self.moved.get(hierarchy)) else {
                continue;
            };
            let path = moved.path(&path.0);
            if path == here {
                continue;
            }
            let shown = Cgroup::shown(hierarchy, &path.as_slice().into());
            let fail = |e: Error| {
                let doing = format!("make {shown} the root of a cgroup namespace");
                Error::because(doing, e.to_string())
            };
            let put =
                |directory: &Directory| put_into(directory, space.maker.pid(), true).map_err(fail);
            if let Some(directory) = unified.filter(|_| hierarchy.0.is_empty()) {
                put(directory)?;
            } else if let Some(directory) =
                Directory::open(&mounts.directories(&hierarchy.0, &path))?
            {
                put(&directory)?;
            } else if !self.unseen.contains(hierarchy) {
                return Err(fail(Error::because("find it", "it is not mounted here")));
            }
        }
        space.maker.make()
    }
}

/// Cgroup namespaces that were made, by what they stand for.
pub(crate) type Made = BTreeMap<NsId, Result<OwnedFd>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_stays_as_far_above() {
        let path = |old: &str, new: &str, path: &str| {
            let moved = Moved { old: old.into(), new: Some(new.into()) };
            String::from_utf8(moved.path(path.as_bytes())).expect("text")
        };
        assert_eq!(path("/a/b", "/x/y/z", "/a/b/c"), "/x/y/z/c");
        assert_eq!(path("/a/b", "/x/y/z", "/a/b"), "/x/y/z");
        assert_eq!(path("/a/b", "/x/y/z", "/a"), "/x/y");
        assert_eq!(path("/a/b", "/x/y/z", "/"), "/x");
        assert_eq!(path("/a/b", "/x", "/"), "/");
        assert_eq!(path("/a/b", "/", "/a/b"), "/");
        assert_eq!(path("/a/b", "/x", "/other"), "/other");
    }
}
