//! AUFS mounts of the host that mount namespaces of the tree show parts of. They must be as they were before such a namespace is
//! made, and before restore goes on with mounts of its own: where AUFS has found a branch can be seen only there.

use super::{Rebuilt, Settle, steps_of};
use floe_plan::Step;
use floe_records::{MountPoint, MountTree, Refusals, Tree, Union};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What the user has named for mounts of the tree.
#[derive(Clone, Copy, Debug)]
pub struct Replaced<'a> {
    /// For the roots of all namespaces, but for `/`.
    pub root: &'a Path,
    /// For mounts by their mount points.
    pub external: &'a [(Vec<u8>, PathBuf)],
}

impl Replaced<'_> {
    fn has(self, mount: &MountPoint) -> bool {
        let named = self.external.iter().any(|(point, _)| *point == mount.point.0);
        named || mount.parent == 0 && self.root != Path::new("/")
    }
}

/// Compares them with those that are here; `rebuild` mounts what is missing.
///
/// # Errors
/// All that are missing, or differ.
pub fn outside_stacks(
    tree: &Tree,
    steps: &[Step],
    replaced: Replaced<'_>,
    rebuild: bool,
) -> Result<Rebuilt, Refusals> {
    let mut settle = Settle {
        rebuild,
        hint: "mount it, have it mounted with --rebuild-unions, or name another directory with --root or --external",
        ..Settle::default()
    };
    for union in steps_of(tree, steps) {
        if is_shown(tree, union, &|mount| !replaced.has(mount)) {
            settle.one(union, Path::new(OsStr::from_bytes(&union.point.0)), true);
        }
    }
    settle.done()
}

/// Whether a mount of a namespace of the tree, one of those that count, shows a part of it.
pub(super) fn is_shown(tree: &Tree, union: &Union, counts: &dyn Fn(&MountPoint) -> bool) -> bool {
    tree.all::<MountTree>().iter().any(|it| {
        let mut mounts = it.mounts.iter().filter(|mount| counts(mount));
        mounts.any(|mount| {
            let system = it.system(mount.dev).filter(|system| system.fs_type == union.fs_type);
            let outside = system.and_then(|system| system.outside.first());
            union.fs_type.0 == b"aufs"
                && outside.is_some_and(|at| (&at.point, &at.root) == (&union.point, &union.root))
        })
    })
}
