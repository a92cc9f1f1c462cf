//! Roots of cgroup namespaces: the same processes looked at from outside and from inside.

use crate::{Result, origin, own_spaces, resource::OfNamespace, subject::unless_gone};
use floe_cgroups::lines;
use floe_records::{Bytes, CgroupRoots, Namespaces, NsKind, Pid, Tree};
use floe_sys::Error;
use std::collections::{BTreeMap, BTreeSet};

impl OfNamespace for CgroupRoots {
    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        let all: Vec<u32> = tree.all::<Namespaces>().iter().map(|all| all.pid.0).collect();
        let members = own_spaces::members(tree, NsKind::Cgroup);
        let describe = |(id, Pid(pid))| {
            let roots = roots(pid, &all)?.map_err(|of| {
                let problem = format!("no process is below it in the hierarchy {of:?}");
                Error::because("find the root of its cgroup namespace", problem).pid(pid)
            })?;
            Ok(CgroupRoots { id, roots })
        };
        members.map(describe).collect()
    }
}

/// What /proc says of a process, by hierarchy.
type Paths = BTreeMap<Bytes, Bytes>;

/// The roots of the cgroup namespace of a process, by hierarchy. A process shows them that is at or below them, one of `all` best.
/// The error is a hierarchy in which there is none.
pub(crate) fn roots(
    member: u32,
    all: &[u32],
) -> Result<std::result::Result<Vec<(Bytes, Bytes)>, Bytes>> {
    let mut found: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
    let mut everybody = None;
    loop {
        let pids = everybody.as_deref().unwrap_or(all);
        let outside = pids.iter().map(|pid| paths(*pid)).collect::<Result<Vec<_>>>()?;
        let inside = own_spaces::within(member, NsKind::Cgroup, || {
            pids.iter().map(|pid| paths(*pid)).collect::<Result<Vec<_>>>()
        })?;
        for (outside, inside) in outside.into_iter().zip(inside) {
            for (hierarchy, path) in outside {
                let below = inside.get(&hierarchy).and_then(|inside| above(&path, inside));
                let root = found.entry(hierarchy).or_default();
                *root = root.take().or(below);
            }
        }
        if everybody.is_some() || found.values().all(Option::is_some) {
            break;
        }
        everybody = Some(floe_proc::numbers_in("/proc")?);
    }
    let known = |(hierarchy, root): (Bytes, Option<Bytes>)| match root {
        Some(root) => Ok((hierarchy, root)),
        None => Err(hierarchy),
    };
    Ok(found.into_iter().map(known).collect())
}

/// The roots of all cgroup namespaces that these processes have of their own, as far as they are known: hierarchy and path.
pub(crate) fn tops(pids: &[u32]) -> Result<BTreeSet<(Bytes, Bytes)>> {
    let (ours, mut known) = (origin::namespace(NsKind::Cgroup)?, BTreeSet::new());
    let mut all = BTreeSet::new();
    for &pid in pids {
        let space = unless_gone(floe_proc::namespace(pid, NsKind::Cgroup.name()))?;
        if space.is_some() && space != ours && known.insert(space) {
            // Where they are not known, or it may not be entered, it is refused for that.
            all.extend(roots(pid, pids).ok().and_then(|roots| roots.ok()).unwrap_or_default());
        }
    }
    all.retain(|(_, path)| path.0 != b"/");
    Ok(all)
}

fn paths(pid: u32) -> Result<Paths> {
    let text = unless_gone(floe_proc::read_record(pid, "cgroup"))?;
    Ok(lines(&text).map(|line| (line.hierarchy.into(), line.path.into())).collect())
}

/// What is left of a path when what is seen of it from a root is taken away: that root, where the path is at or below it.
fn above(path: &Bytes, seen: &Bytes) -> Option<Bytes> {
    let rest = if seen.0 == b"/" { &b""[..] } else { &seen.0 };
    let root = path.0.strip_suffix(rest).filter(|_| !seen.0.starts_with(b"/.."))?;
    Some(if root.is_empty() { "/".into() } else { root.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_what_is_left() {
        let root = |path: &str, seen: &str| above(&path.into(), &seen.into());
        assert_eq!(root("/a/b", "/"), Some("/a/b".into()));
        assert_eq!(root("/a/b", "/b"), Some("/a".into()));
        assert_eq!(root("/a", "/a"), Some("/".into()));
        assert_eq!(root("/", "/"), Some("/".into()));
        assert_eq!(root("/a/b", "/../b"), None);
    }
}
