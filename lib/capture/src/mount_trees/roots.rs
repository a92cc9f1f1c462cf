//! Roots of mount namespaces whose files travel, since the user wants so.

use floe_mounts::{is_in_memory, is_of_kernel};
use floe_records::{Bytes, Finding, Findings, MountTree};

/// Has the files of the roots travel, where they have names on a disk or in a union.
pub fn carry_roots(trees: &mut [MountTree], found: &mut Findings) {
    let tops: Vec<(u64, Bytes)> = trees
        .iter()
        .filter_map(|tree| tree.root())
        .map(|top| (top.dev, top.root.clone()))
        .collect();
    if tops.is_empty() {
        let problem = "the tree stands in the mount namespace of freeze";
        let finding = Finding::about("root", "namespace.mnt", problem);
        found.refuse(finding.hint("leave out --carry-root, or take the tree of a container"));
    }
    for (dev, part) in &tops {
        let shown = MountTree::root_part(&*trees, *dev).cloned();
        if !shown.is_some_and(|shown| is_below(part, &shown)) {
            let problem = "the roots of two mount namespaces are parts of one file system";
            found.refuse(Finding::about(format!("root {part}"), "namespace.mnt", problem));
        }
    }
    for system in trees.iter_mut().flat_map(|tree| &mut tree.systems) {
        let is_root = tops.iter().any(|(dev, _)| *dev == system.dev);
        system.carried |= is_root && !is_of_kernel(&system.fs_type.0);
    }
}

fn is_below(part: &Bytes, top: &Bytes) -> bool {
    let rest = part.0.strip_prefix(top.0.as_slice());
    top.0 == b"/" || rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// The part of a file system that travels: all of one that is in memory alone, and what the roots show of another one.
pub fn part_of(trees: &[MountTree], dev: u64) -> Bytes {
    let mut systems = trees.iter().filter_map(|tree| tree.system(dev));
    let in_memory =
        systems.any(|system| is_in_memory(&system.fs_type.0) && system.outside.is_empty());
    let root = MountTree::root_part(trees, dev).filter(|_| !in_memory);
    root.cloned().unwrap_or_else(|| "/".into())
}
