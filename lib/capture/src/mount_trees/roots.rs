//! Roots of mount namespaces whose files travel, since the user wants so.

use floe_mounts::{is_in_memory, is_of_kernel};
use floe_records::{Bytes, Finding, Findings, MountPoint, MountTree};

/// Has the files of the roots travel, where they have names on a disk or in a union.
pub fn carry_roots(trees: &mut [MountTree], found: &mut Findings) {
    let tops: Vec<MountPoint> = trees.iter().filter_map(MountTree::root).cloned().collect();
    if tops.is_empty() {
        let problem = "the tree stands in the mount namespace of freeze";
        let finding = Finding::about("root", "namespace.mnt", problem);
        found.refuse(finding.hint("leave out --carry-root, or take the tree of a container"));
    }
    for top in &tops {
        let shown = MountTree::root_part(&*trees, top.dev);
        if shown.and_then(|shown| top.part_of(shown)).is_none() {
            let problem = "the roots of two mount namespaces are parts of one file system";
            found.refuse(Finding::about(format!("root {}", top.root), "namespace.mnt", problem));
        }
    }
    for system in trees.iter_mut().flat_map(|tree| &mut tree.systems) {
        let is_root = tops.iter().any(|top| top.dev == system.dev);
        system.carried |= is_root && !is_of_kernel(&system.fs_type.0);
    }
}

/// The part of a file system that travels: all of one that is in memory alone, and what the roots show of another one.
pub fn part_of(trees: &[MountTree], dev: u64) -> Bytes {
    let mut systems = trees.iter().filter_map(|tree| tree.system(dev));
    let in_memory =
        systems.any(|system| is_in_memory(&system.fs_type.0) && system.outside.is_empty());
    let root = MountTree::root_part(trees, dev).filter(|_| !in_memory);
    root.cloned().unwrap_or_else(|| "/".into())
}
