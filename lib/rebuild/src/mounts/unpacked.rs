//! The root of a tree whose files travel (`dumpmnt --carry-root`): they are put into a directory that the user names.

use crate::options::RestoreOptions;
use floe_mounts::is_in_memory;
use floe_records::{Bytes, MountPoint, MountTree, MountedSystem};
use floe_sys::{Error, Result};
use std::path::{Path, PathBuf};

/// A file system on a disk whose files travel: they are put into a directory.
pub(super) struct Unpacked {
    /// The device that it had.
    pub dev: u64,
    /// The part of it that the root of the tree showed.
    part: Bytes,
    /// The directory, where the user has named one.
    pub dir: Option<PathBuf>,
}

impl Unpacked {
    /// That of the tree, where there is one.
    pub fn of(trees: &[&MountTree], options: &RestoreOptions) -> Result<Option<Self>> {
        let on_disk = |tree: &&MountTree| {
            let system = tree.system(tree.root()?.dev)?;
            let carried = system.carried && !is_carried_anew(system);
            carried.then_some(system.dev)
        };
        let Some(dev) = trees.iter().find_map(on_disk) else { return Ok(None) };
        let Some(part) = MountTree::root_part(trees.iter().copied(), dev).cloned() else {
            return Ok(None);
        };
        let named = (options.root != Path::new("/")).then_some(&options.root);
        let dir = named.map(std::fs::canonicalize).transpose();
        let fail = |e| Error::new(format!("open {}", options.root.display()), e);
        let dir = dir.map_err(fail)?;
        if let Some(dir) = &dir
            && std::fs::read_dir(dir).map_err(fail)?.next().is_some()
        {
            let problem = "it is not empty, and the files of the root are to be put there";
            return Err(Error::because(format!("take {}", dir.display()), problem));
        }
        Ok(Some(Self { dev, part, dir }))
    }

    /// The directory that a mount comes from, and what it shows of that; `None` for one that shows something else.
    pub fn source<'m>(&self, mount: &'m MountPoint) -> Option<Result<(PathBuf, &'m [u8])>> {
        let part = mount.part_of(&self.part).filter(|_| mount.dev == self.dev)?;
        let missing = || {
            let hint = "its files travel: name an empty directory for them with --root";
            Error::because("mount it", hint)
        };
        let dir = self.dir.clone().ok_or_else(missing);
        Some(dir.map(|dir| (dir, part)))
    }
}

/// Whether a file system whose files travel is mounted anew.
pub(super) fn is_carried_anew(system: &MountedSystem) -> bool {
    let fs_type = system.fs_type.0.as_slice();
    let anew = is_in_memory(fs_type) && system.outside.is_empty() || fs_type == b"hugetlbfs";
    system.carried && anew
}
