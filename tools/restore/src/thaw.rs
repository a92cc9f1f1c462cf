//! `--thaw`: who had the tree frozen when it was captured has it run when it comes back.

use floe_records::{Bytes, Cgroup, Duplicate, Members, Tree};

/// The tree with the cgroups of its root, and all above them, running. Those below belong to the tree, and stay as they were.
pub fn thawed(tree: Tree) -> Result<Tree, Duplicate> {
    let of_root = tree.all::<Cgroup>().iter().filter(|it| it.members == Members::Others);
    let of_root: Vec<(Bytes, Bytes)> =
        of_root.map(|it| (it.hierarchy.clone(), it.path.clone())).collect();
    tree.map(|cgroup: &mut Cgroup| {
        let above = |(hierarchy, path): &(Bytes, Bytes)| {
            *hierarchy == cgroup.hierarchy && is_above(&cgroup.path.0, &path.0)
        };
        if of_root.iter().any(above)
            && let Some(directory) = &mut cgroup.directory
        {
            directory.frozen = false;
        }
    })
}

/// Whether a path is another one, or leads there.
fn is_above(path: &[u8], other: &[u8]) -> bool {
    let bare = path.strip_suffix(b"/").unwrap_or(path);
    other.strip_prefix(bare).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_is_told_by_whole_names() {
        assert!(is_above(b"/a", b"/a") && is_above(b"/a", b"/a/b") && is_above(b"/", b"/a"));
        assert!(!is_above(b"/a/b", b"/a") && !is_above(b"/a", b"/ab"));
    }
}
