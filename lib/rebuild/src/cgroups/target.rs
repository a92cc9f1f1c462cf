//! Which cgroup takes the place of each recorded one.

use super::Key;
use floe_cgroups::{Directory, Mounts, is_same_hierarchy, lines, relative};
use floe_records::*;
use floe_sys::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The cgroups of restore itself.
pub(super) struct Own(Vec<u8>);

impl Own {
    pub fn read() -> Result<Self> {
        floe_proc::read_record(std::process::id(), "cgroup").map(Self)
    }

    /// That of a hierarchy; `None` where there is none here.
    pub fn path(&self, hierarchy: &Bytes) -> Option<&[u8]> {
        let mut of = lines(&self.0).filter(|line| is_same_hierarchy(line.hierarchy, &hierarchy.0));
        of.next().map(|line| line.path)
    }
}

/// A recorded cgroup, and the path of that which takes its place.
pub(super) struct Target<'a> {
    pub cgroup: &'a Cgroup,
    pub path: Vec<u8>,
}

/// For [`CgroupMode::Join`] the cgroup of each hierarchy that takes the place of the one which has the whole tree in it: that of
/// restore, where a hierarchy has none of this path.
pub(super) fn bases<'a>(
    mode: &CgroupMode,
    own: &Own,
    mounts: &Mounts,
    names: impl Iterator<Item = &'a Bytes>,
) -> Result<BTreeMap<&'a Bytes, Vec<u8>>> {
    let (CgroupMode::Join(wanted), mut bases) = (mode, BTreeMap::new()) else {
        return Ok(BTreeMap::new());
    };
    let mut some = false;
    for name in names {
        let Some(here) = own.path(name) else { continue };
        let path = at(here, &wanted.0);
        let is = Directory::open(&mounts.directories(&name.0, &path))?.is_some();
        some |= is;
        bases.insert(name, if is { path } else { here.to_vec() });
    }
    if some {
        return Ok(bases);
    }
    Err(Error::because(format!("join {wanted}"), "no hierarchy here has such a cgroup"))
}

/// A path as somebody in the cgroup `here` means it.
fn at(here: &[u8], path: &[u8]) -> Vec<u8> {
    let absolute = path.starts_with(b"/");
    let mut whole = if absolute { Vec::new() } else { here.to_vec() };
    for name in path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        if whole != b"/" {
            whole.push(b'/');
        }
        whole.extend_from_slice(name);
    }
    if whole.is_empty() { b"/".to_vec() } else { whole }
}

/// The targets of a hierarchy, those above first.
///
/// # Errors
/// One that cannot have any, and why.
pub(super) fn targets<'a>(
    mode: &CgroupMode,
    of: &[&'a Cgroup],
    base: Option<&Vec<u8>>,
) -> Result<Vec<Target<'a>>, (Key, Error)> {
    let mut targets = Vec::new();
    let used = used(of);
    let old = common(&used);
    let joins = matches!(mode, CgroupMode::Join(_));
    if joins && base.is_none() && used.len() < 2 {
        // A hierarchy that is not here says nothing of a tree that was in one cgroup of it.
        return Ok(targets);
    }
    for &cgroup in of {
        let path = match base {
            None if cgroup.path.0.starts_with(b"/..") => {
                let problem = "it was outside of the cgroup namespace of freeze";
                return Err((cgroup.key(), Error::because("find it", problem)));
            }
            None => cgroup.path.0.clone(),
            Some(base) => match relative(&cgroup.path.0, &old) {
                Some(rest) => [base.strip_suffix(b"/").unwrap_or(base), rest].concat(),
                None => continue,
            },
        };
        targets.push(Target { cgroup, path: if path.is_empty() { b"/".to_vec() } else { path } });
    }
    targets.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(targets)
}

/// The paths of those that something is in.
fn used<'a>(of: &[&'a Cgroup]) -> BTreeSet<&'a [u8]> {
    of.iter().filter(|one| one.members.any()).map(|one| one.path.0.as_slice()).collect()
}

/// The cgroup that has all members of these in it.
pub(super) fn common_of(of: &[&Cgroup]) -> Vec<u8> {
    common(&used(of))
}

/// The cgroup that has all of these in it.
fn common(paths: &BTreeSet<&[u8]>) -> Vec<u8> {
    let names = |path: &'_ [u8]| -> Vec<Vec<u8>> {
        let names = path.split(|b| *b == b'/').filter(|name| !name.is_empty());
        names.map(<[u8]>::to_vec).collect()
    };
    let mut all = paths.iter().map(|path| names(path));
    let first = all.next().unwrap_or_default();
    let common = all.fold(first, |common, names| {
        let same = common.iter().zip(&names).take_while(|(one, other)| one == other).count();
        common[..same].to_vec()
    });
    [b"/", common.join(&b'/').as_slice()].concat()
}

/// Whether a tree is where it belongs when it is where restore is.
pub(super) fn is_done(targets: &[Target<'_>], own: Option<&[u8]>) -> bool {
    let frozen = targets.iter().filter_map(|target| target.cgroup.directory.as_ref());
    let mut used = targets.iter().filter(|target| target.cgroup.members.any());
    used.all(|target| target.path == own.unwrap_or(b"/"))
        && !frozen.into_iter().any(|directory| directory.frozen)
}

/// Whether one that has members was not seen by freeze, which has said so, and is not seen here either.
pub(super) fn is_unseen(targets: &[Target<'_>], mounts: &Mounts) -> Result<bool> {
    for target in targets.iter().filter(|target| target.cgroup.members.any()) {
        let Cgroup { hierarchy, path, directory, .. } = target.cgroup;
        let unseen = directory.is_none() && path.0 != b"/";
        if unseen && Directory::open(&mounts.directories(&hierarchy.0, &target.path))?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(path: &str, any: bool) -> Cgroup {
        let members = if any { Members::Others } else { Members::Listed(Vec::new()) };
        Cgroup { hierarchy: Bytes::default(), path: path.into(), members, directory: None }
    }

    fn paths(mode: &CgroupMode, all: &[Cgroup], base: Option<&str>) -> Vec<String> {
        let all: Vec<&Cgroup> = all.iter().collect();
        let base = base.map(|base| base.as_bytes().to_vec());
        let targets = targets(mode, &all, base.as_ref()).unwrap_or_else(|(_, e)| panic!("{e}"));
        targets.iter().map(|target| String::from_utf8_lossy(&target.path).into_owned()).collect()
    }

    #[test]
    fn what_is_joined_takes_the_place_of_what_has_all() {
        let join = CgroupMode::Join("x".into());
        let all = [cgroup("/a", false), cgroup("/a/b", true), cgroup("/a/b/c", true)];
        assert_eq!(paths(&CgroupMode::Keep, &all, None), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(paths(&join, &all, Some("/x")), ["/x", "/x/c"]);
        assert_eq!(paths(&join, &all, Some("/")), ["/", "/c"]);
        let apart = [cgroup("/a", false), cgroup("/a/b", true), cgroup("/a/c", true)];
        assert_eq!(paths(&join, &apart, Some("/x")), ["/x", "/x/b", "/x/c"]);
        assert_eq!(paths(&join, &all[..2], None), [""; 0]);
    }

    #[test]
    fn paths_are_meant_from_where_restore_is() {
        let path = |here: &str, path: &str| {
            String::from_utf8(at(here.as_bytes(), path.as_bytes())).expect("text")
        };
        assert_eq!(path("/a", "."), "/a");
        assert_eq!(path("/a", "b/c"), "/a/b/c");
        assert_eq!(path("/", "b"), "/b");
        assert_eq!(path("/a", "/b/"), "/b");
        assert_eq!(path("/a", "/"), "/");
    }

    #[test]
    fn where_restore_is_nothing_is_done() {
        let here = cgroup("/a", true);
        let target = |path: &[u8]| [Target { cgroup: &here, path: path.to_vec() }];
        assert!(is_done(&target(b"/a"), Some(b"/a")));
        assert!(!is_done(&target(b"/b"), Some(b"/a")));
        assert!(is_done(&target(b"/"), None));
        assert!(!is_done(&target(b"/a"), None));
    }
}
