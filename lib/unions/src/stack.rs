//! The union mounts of one mount namespace, and where a path of a branch is in them.

use crate::{Branch, Given, Mount, branches, brinfo};
use std::{io, path::Path};

/// A union mount and its branches, topmost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The mount.
    pub mount: Mount,
    /// Its branches; for overlayfs the upper directory and then the lower ones. `None` where nothing tells them.
    pub branches: Option<Vec<Branch>>,
}

/// Where a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In no branch.
    Elsewhere,
    /// At this path of the union.
    Union(Vec<u8>),
    /// In a branch, at a place that has no name in the union: a pseudo-link or an orphan of AUFS.
    Nameless,
}

/// Where the branches of AUFS mounts are asked for, in this order, behind the mount options.
pub struct Sources<'a> {
    /// `/sys/fs/aufs`, or a copy.
    pub sysfs: &'a Path,
    /// Asks AUFS_CTL_BRINFO of a mount, see [`crate::brinfo`].
    pub ask: &'a dyn Fn(&Mount) -> Option<Vec<u8>>,
    /// What people say of stacks that are seen from elsewhere.
    pub given: Option<&'a Given>,
}

/// All union mounts of a mount namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unions {
    /// In the order of mountinfo.
    pub stacks: Vec<Stack>,
}

/// The part of `path` below `prefix`, by whole components; empty for the prefix itself.
pub fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    match path.strip_prefix(prefix)? {
        [] => Some(&[]),
        rest if rest[0] == b'/' => Some(rest),
        _ => None,
    }
}

fn join(base: &[u8], rest: &[u8]) -> Vec<u8> {
    let base = base.strip_suffix(b"/").unwrap_or(base);
    if base.is_empty() && rest.is_empty() { b"/".to_vec() } else { [base, rest].concat() }
}

impl Unions {
    /// Reads the branches of every union mount; those of overlayfs stand in its options.
    pub fn read(mounts: &[Mount], sources: &Sources<'_>) -> io::Result<Self> {
        let mut stacks = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.is_union()) {
            let overlay = mount.fs_type == b"overlay";
            let branches =
                if overlay { Some(layers(mount)) } else { aufs_branches(mount, sources)? };
            stacks.push(Stack { mount: mount.clone(), branches });
        }
        Ok(Self { stacks })
    }

    /// Where a path is. A union may be a branch of another one, so it is looked for in the others again. Of two
    /// mounts that share the branch, the one counts that `process_root` lies on.
    pub fn place(&self, path: &[u8], process_root: &[u8]) -> Place {
        let Some((stack, branch)) = self.branch_of(path, process_root) else {
            return Place::Elsewhere;
        };
        let mut place = stack.show(path, branch);
        let mut passed = vec![stack];
        while let Place::Union(at) = &place {
            let next = self.find(at, process_root, |stack| !passed.contains(&stack));
            let Some((stack, branch)) = next else { break };
            place = stack.show(at, branch);
            passed.push(stack);
        }
        place
    }

    /// The union and the branch that a path lies in; of several the longest.
    pub fn branch_of(&self, path: &[u8], process_root: &[u8]) -> Option<(&Stack, &Branch)> {
        self.find(path, process_root, |_| true)
    }

    fn find(
        &self,
        path: &[u8],
        process_root: &[u8],
        may: impl Fn(&Stack) -> bool,
    ) -> Option<(&Stack, &Branch)> {
        // Of equals the last one counts for max_by_key, and the first one for us.
        let all = self.stacks.iter().rev().flat_map(|stack| {
            stack.branches.iter().flatten().rev().map(move |branch| (stack, branch))
        });
        let holds = |(stack, branch): &(&Stack, &Branch)| {
            below(path, &branch.path).is_some() && stack.shows(path, branch) && may(stack)
        };
        let near = |stack: &Stack| {
            below(process_root, &stack.mount.point).map_or(0, |_| stack.mount.point.len())
        };
        all.filter(holds).max_by_key(|(stack, branch)| (branch.path.len(), near(stack)))
    }

    /// What hides a file of a branch from the union: a file of the same name in a branch above, a whiteout, an
    /// opaque directory. `exists` tells whether there is something at a path.
    pub fn hidden(
        &self,
        path: &[u8],
        process_root: &[u8],
        exists: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let (stack, branch) = self.branch_of(path, process_root)?;
        let rest = below(path, &branch.path)?;
        let aufs = stack.mount.fs_type == b"aufs";
        let above = stack.branches.iter().flatten().take_while(|above| *above != branch);
        above
            .into_iter()
            .find_map(|above| hides(&above.path, rest, aufs && above.has_whiteouts(), exists))
    }

    /// The union mount that a path of the processes lies on, if the topmost mount there is one.
    pub fn over<'a>(&'a self, mounts: &[Mount], path: &[u8]) -> Option<&'a Stack> {
        let top = mounts.iter().rev().filter(|mount| below(path, &mount.point).is_some());
        // Of mounts at the same place the last one counts.
        let top = top.fold(None, |best: Option<&Mount>, mount| match best {
            Some(best) if best.point.len() >= mount.point.len() => Some(best),
            _ => Some(mount),
        })?;
        self.stacks.iter().find(|stack| stack.mount.id == top.id)
    }
}

impl Stack {
    /// Whether a path of a branch can be seen through this mount, which may show only a part of the union. A branch
    /// that holds its own mount point (`lowerdir=/`) says nothing: every path of the system lies in it.
    fn shows(&self, path: &[u8], branch: &Branch) -> bool {
        let inside =
            |rest: &[u8]| is_internal(self, rest) || below(rest, &self.mount.root).is_some();
        below(path, &branch.path).is_some_and(inside)
            && below(&self.mount.point, &branch.path).is_none()
    }

    /// Where a path of a branch is seen.
    fn show(&self, path: &[u8], branch: &Branch) -> Place {
        let rest = below(path, &branch.path).unwrap_or_default();
        if is_internal(self, rest) {
            return Place::Nameless;
        }
        match below(rest, &self.mount.root) {
            Some(rest) => Place::Union(join(&self.mount.point, rest)),
            None => Place::Elsewhere,
        }
    }
}

/// The directories in which AUFS keeps what has no name in the union.
fn is_internal(stack: &Stack, rest: &[u8]) -> bool {
    let name = rest.split(|b| *b == b'/').nth(1).unwrap_or_default();
    stack.mount.fs_type == b"aufs" && [&b".wh..wh.plnk"[..], b".wh..wh.orph"].contains(&name)
}

/// What in the branch at `above` hides `rest` of the branches below it.
fn hides(
    above: &[u8],
    rest: &[u8],
    whiteouts: bool,
    exists: &dyn Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut dir = above.to_vec();
    let names: Vec<&[u8]> = rest.split(|b| *b == b'/').skip(1).collect();
    for (depth, name) in names.iter().enumerate() {
        let whiteout = [&dir[..], b"/.wh.", name].concat();
        let opaque = [&dir[..], b"/.wh..wh..opq"].concat();
        for hiding in [whiteout, opaque].into_iter().filter(|_| whiteouts) {
            // An opaque root would hide everything; AUFS makes none.
            if exists(&hiding) && !(depth == 0 && hiding.ends_with(b".opq")) {
                return Some(hiding);
            }
        }
        dir = [&dir[..], b"/", name].concat();
    }
    exists(&dir).then_some(dir)
}

fn aufs_branches(mount: &Mount, sources: &Sources<'_>) -> io::Result<Option<Vec<Branch>>> {
    let si = mount.option(b"si").unwrap_or_default();
    let known = branches::from_sysfs(sources.sysfs, &si)?;
    Ok(known
        .or_else(|| branches::from_options(&mount.options))
        .or_else(|| brinfo::branches(&(sources.ask)(mount)?))
        .or_else(|| sources.given.and_then(|given| given.of(&mount.point))))
}

/// Upper directory and lower ones of an overlayfs mount. Colons and commas of names are escaped with a backslash, but
/// where a layer stands alone (`lowerdir+`, `datadir+`).
fn layers(mount: &Mount) -> Vec<Branch> {
    let branch =
        |path: Vec<u8>, permission: &[u8]| Branch { path, permission: permission.to_vec() };
    let mut layers = Vec::new();
    let upper = mount.option(b"upperdir").map(|upper| split(&upper, false).concat());
    layers.extend(upper.map(|upper| branch(upper, b"rw")));
    for option in mount.options.split(|b| *b == b',') {
        let value = |name: &[u8]| option.strip_prefix(name).map(crate::unescape);
        if let Some(list) = value(b"lowerdir=") {
            layers.extend(split(&list, true).into_iter().map(|path| branch(path, b"ro")));
        }
        let alone = value(b"lowerdir+=").or_else(|| value(b"datadir+="));
        layers.extend(alone.map(|path| branch(path, b"ro")));
    }
    layers
}

/// Takes the backslashes off, and cuts at colons if wished. (A double colon stands before layers of data only.)
fn split(text: &[u8], at_colons: bool) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'\\' && bytes.peek().is_some_and(|b| b":,\\".contains(b));
        if byte == b':' && at_colons {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.extend(if escaped { bytes.next() } else { Some(byte) });
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aufs(id: u32, point: &str, root: &str, branches: &[&str]) -> Stack {
        let branch =
            |path: &&str| Branch { path: path.as_bytes().to_vec(), permission: b"ro+wh".to_vec() };
        Stack {
            mount: Mount {
                id,
                root: root.into(),
                point: point.into(),
                fs_type: b"aufs".to_vec(),
                ..Mount::default()
            },
            branches: Some(branches.iter().map(branch).collect()),
        }
    }

    fn unions(stacks: Vec<Stack>) -> Unions {
        Unions { stacks }
    }

    fn union(path: &str) -> Place {
        Place::Union(path.as_bytes().to_vec())
    }

    #[test]
    fn components_are_whole() {
        let all = unions(vec![aufs(1, "/u", "/", &["/l/b1", "/l/b10"])]);
        assert_eq!(all.place(b"/l/b10/x", b"/"), union("/u/x"));
        assert_eq!(all.place(b"/l/b1/x", b"/"), union("/u/x"));
        assert_eq!(all.place(b"/l/b100/x", b"/"), Place::Elsewhere);
        assert_eq!(all.place(b"/l/b1", b"/"), union("/u"));
        assert_eq!(all.place(b"/bin/sh", b"/"), Place::Elsewhere);
    }

    #[test]
    fn the_root_and_subtrees() {
        let all = unions(vec![aufs(1, "/", "/", &["/l/top", "/l/base"])]);
        assert_eq!(all.place(b"/l/base/bin/app", b"/"), union("/bin/app"));
        assert_eq!(all.place(b"/l/base", b"/"), union("/"));
        let part = unions(vec![aufs(1, "/srv", "/data", &["/l/top"])]);
        assert_eq!(part.place(b"/l/top/data/x", b"/"), union("/srv/x"));
        assert_eq!(part.place(b"/l/top/other/x", b"/"), Place::Elsewhere);
    }

    #[test]
    fn unions_of_unions() {
        let inner = aufs(2, "/mnt/in", "/", &["/out/layer"]);
        let outer = aufs(1, "/out", "/", &["/disk/a"]);
        let all = unions(vec![outer, inner]);
        assert_eq!(all.place(b"/disk/a/layer/x", b"/"), union("/mnt/in/x"));
        assert_eq!(all.place(b"/disk/a/y", b"/"), union("/out/y"));
    }

    #[test]
    fn pseudo_links_and_orphans_have_no_name() {
        let all = unions(vec![aufs(1, "/u", "/", &["/l/b"])]);
        assert_eq!(all.place(b"/l/b/.wh..wh.plnk/12.34", b"/"), Place::Nameless);
        assert_eq!(all.place(b"/l/b/.wh..wh.orph/12", b"/"), Place::Nameless);
        assert_eq!(all.place(b"/l/b/.whatever", b"/"), union("/u/.whatever"));
    }

    #[test]
    fn opaque_directories_hide() {
        let all = unions(vec![aufs(1, "/u", "/", &["/l/top", "/l/base"])]);
        let exists = |path: &[u8]| path == b"/l/top/a/.wh..wh..opq";
        assert!(all.hidden(b"/l/base/a/b/c", b"/", &exists).is_some());
        assert!(all.hidden(b"/l/base/x/b", b"/", &exists).is_none());
        assert!(all.hidden(b"/l/top/a/b", b"/", &exists).is_none());
        assert!(all.hidden(b"/l/base/a/b", b"/", &|path| path == b"/l/top/.wh.a").is_some());
    }

    #[test]
    fn layers_of_overlayfs() {
        let options = b"rw,lowerdir=/l/a\\134:b\\134\\054:/l/c,upperdir=/up,workdir=/work".to_vec();
        let mount = Mount { fs_type: b"overlay".to_vec(), options, ..Mount::default() };
        let paths: Vec<_> = layers(&mount).into_iter().map(|b| b.path).collect();
        assert_eq!(paths, [&b"/up"[..], b"/l/a:b,", b"/l/c"]);
        let options = b"rw,lowerdir+=/x,lowerdir+=/y".to_vec();
        let mount = Mount { fs_type: b"overlay".to_vec(), options, ..Mount::default() };
        assert_eq!(layers(&mount).len(), 2);
        let options = b"rw,lowerdir+=/lo:w,datadir+=/d,upperdir=/up\\134\\0541".to_vec();
        let mount = Mount { fs_type: b"overlay".to_vec(), options, ..Mount::default() };
        let paths: Vec<_> = layers(&mount).into_iter().map(|b| b.path).collect();
        assert_eq!(paths, [&b"/up,1"[..], b"/lo:w", b"/d"]);
    }

    #[test]
    fn a_branch_above_its_own_mount_says_nothing() {
        let all = unions(vec![aufs(1, "/mnt/u", "/", &["/rw", "/"])]);
        assert_eq!(all.place(b"/bin/y", b"/"), Place::Elsewhere);
        assert_eq!(all.place(b"/mnt/u/bin/y", b"/"), Place::Elsewhere);
        assert_eq!(all.place(b"/rw/bin/y", b"/"), union("/mnt/u/bin/y"));
    }

    #[test]
    fn each_mount_is_passed_once() {
        let all = unions(vec![aufs(1, "/", "/", &["/l/top"])]);
        assert_eq!(all.place(b"/l/top/l/top/x", b"/"), union("/l/top/x"));
    }

    #[test]
    fn of_two_mounts_that_of_the_process_counts() {
        let one = aufs(1, "/srv/one", "/", &["/l/one", "/common"]);
        let two = aufs(2, "/srv/two", "/", &["/l/two", "/common"]);
        let all = unions(vec![one, two]);
        assert_eq!(all.place(b"/common/x", b"/srv/two"), union("/srv/two/x"));
        assert_eq!(all.place(b"/common/x", b"/srv/one"), union("/srv/one/x"));
        assert_eq!(all.place(b"/common/x", b"/"), union("/srv/one/x"));
    }

    #[test]
    fn the_topmost_mount_counts() {
        let union_mount = aufs(5, "/u", "/", &["/l/b"]);
        let all = unions(vec![union_mount.clone()]);
        let plain = Mount { id: 9, point: b"/u/tmp".to_vec(), ..Mount::default() };
        let mounts = [union_mount.mount.clone(), plain];
        assert!(all.over(&mounts, b"/u/x").is_some());
        assert!(all.over(&mounts, b"/u/tmp/x").is_none());
        assert!(all.over(&mounts, b"/x").is_none());
    }

    proptest! {
        #[test]
        fn branch_path_in_union_path_out(
            names in proptest::collection::btree_set("[a-z0-9 =ü\t\\\\.]{1,12}", 1..14),
            pick in any::<prop::sample::Index>(),
            rest in proptest::collection::vec("[a-z0-9 =.]{1,8}", 1..5),
        ) {
            let names: Vec<String> = names.into_iter().map(|n| format!("/layers/{n}")).collect();
            let paths: Vec<&str> = names.iter().map(String::as_str).collect();
            let all = unions(vec![aufs(1, "/mnt/u", "/", &paths)]);
            let file = format!("/{}", rest.join("/"));
            prop_assume!(!file.contains(".wh."));
            let inside = format!("{}{file}", paths[pick.index(paths.len())]);
            prop_assert_eq!(all.place(inside.as_bytes(), b"/"), union(&format!("/mnt/u{file}")));
            let outside = format!("/layer{file}");
            prop_assert_eq!(all.place(outside.as_bytes(), b"/"), Place::Elsewhere);
        }
    }
}
