//! The union mounts of one mount namespace, and where a path of a branch is in them.

use crate::{Branch, Mount, branches, brinfo};
use std::{io, path::Path};

/// A union mount and its branches, topmost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The mount.
    pub mount: Mount,
    /// Its branches; for overlayfs the upper directory and then the lower ones.
    pub branches: Vec<Branch>,
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
    pub given: Option<&'a [Branch]>,
}

/// All union mounts of a mount namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unions {
    /// In the order of mountinfo.
    pub stacks: Vec<Stack>,
}

/// What of `path` lies below `prefix`, by whole components; empty for the prefix itself.
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
            let Some(branches) = branches else {
                let point = String::from_utf8_lossy(&mount.point);
                let what = format!(
                    "the branches of the AUFS mount at {point} are not known; list them with --branches"
                );
                return Err(io::Error::other(what));
            };
            stacks.push(Stack { mount: mount.clone(), branches });
        }
        Ok(Self { stacks })
    }

    /// Where a path is. A union may be a branch of another one, so it is looked for until nothing changes.
    pub fn place(&self, path: &[u8]) -> Place {
        let mut place = Place::Elsewhere;
        let mut at = path.to_vec();
        for _ in 0..=self.stacks.len() {
            match self.step(&at) {
                Place::Union(next) if next != at => {
                    place = Place::Union(next.clone());
                    at = next;
                }
                Place::Nameless => return Place::Nameless,
                _ => break,
            }
        }
        place
    }

    /// The union and the number of the branch that a path lies in; of several the longest.
    pub fn branch_of(&self, path: &[u8]) -> Option<(&Stack, usize)> {
        let all =
            self.stacks.iter().flat_map(|stack| (0..stack.branches.len()).map(move |n| (stack, n)));
        let holds = |(stack, n): &(&Stack, usize)| below(path, &stack.branches[*n].path).is_some();
        all.filter(holds).max_by_key(|(stack, n)| stack.branches[*n].path.len())
    }

    /// What hides a file of a branch from the union: a file of the same name in a branch above, a whiteout, an
    /// opaque directory. `exists` tells whether there is something at a path.
    pub fn hidden(&self, path: &[u8], exists: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let (stack, at) = self.branch_of(path)?;
        let rest = below(path, &stack.branches[at].path)?;
        stack.branches[..at].iter().find_map(|above| hides(&above.path, rest, exists))
    }

    /// By the longest branch that holds the path; of two mounts of one branch, by the one that shows it.
    fn step(&self, path: &[u8]) -> Place {
        let mut best: Option<(usize, Place)> = None;
        for stack in &self.stacks {
            for branch in &stack.branches {
                let Some(rest) = below(path, &branch.path) else { continue };
                let Some(place) = stack.show(rest) else { continue };
                let len = branch.path.len();
                if best.as_ref().is_none_or(|(longest, _)| len > *longest) {
                    best = Some((len, place));
                }
            }
        }
        best.map_or(Place::Elsewhere, |(_, place)| place)
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
    /// Where a path relative to a branch is seen; `None` when the mount does not show that part of the union.
    fn show(&self, rest: &[u8]) -> Option<Place> {
        let name = rest.split(|b| *b == b'/').nth(1).unwrap_or_default();
        if self.mount.fs_type == b"aufs" && [&b".wh..wh.plnk"[..], b".wh..wh.orph"].contains(&name)
        {
            return Some(Place::Nameless);
        }
        let rest = below(rest, &self.mount.root)?;
        Some(Place::Union(join(&self.mount.point, rest)))
    }
}

/// What in the branch at `above` hides `rest` of the branches below it.
fn hides(above: &[u8], rest: &[u8], exists: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut dir = above.to_vec();
    let names: Vec<&[u8]> = rest.split(|b| *b == b'/').skip(1).collect();
    for (depth, name) in names.iter().enumerate() {
        let whiteout = [&dir[..], b"/.wh.", name].concat();
        let opaque = [&dir[..], b"/.wh..wh..opq"].concat();
        for hiding in [whiteout, opaque] {
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
        .or_else(|| sources.given.map(<[_]>::to_vec)))
}

/// Upper directory and lower ones of an overlayfs mount; colons and commas of names are escaped with a backslash.
fn layers(mount: &Mount) -> Vec<Branch> {
    let branch = |path: &[u8], permission: &[u8]| Branch {
        path: path.to_vec(),
        permission: permission.to_vec(),
    };
    let mut layers = Vec::new();
    layers.extend(mount.option(b"upperdir").map(|upper| branch(&upper, b"rw")));
    for option in mount.options.split(|b| *b == b',') {
        let Some(list) =
            option.strip_prefix(b"lowerdir=").or_else(|| option.strip_prefix(b"lowerdir+="))
        else {
            continue;
        };
        let list = crate::unescape(list);
        let mut path = Vec::new();
        let mut bytes = list.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' if bytes.peek().is_some_and(|b| b":,\\".contains(b)) => {
                    path.extend(bytes.next());
                }
                b':' if path.is_empty() => {}
                b':' => layers.push(branch(&std::mem::take(&mut path), b"ro")),
                byte => path.push(byte),
            }
        }
        if !path.is_empty() {
            layers.push(branch(&path, b"ro"));
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aufs(id: u32, point: &str, root: &str, branches: &[&str]) -> Stack {
        let branch =
            |path: &&str| Branch { path: path.as_bytes().to_vec(), permission: b"ro".to_vec() };
        Stack {
            mount: Mount {
                id,
                root: root.into(),
                point: point.into(),
                fs_type: b"aufs".to_vec(),
                ..Mount::default()
            },
            branches: branches.iter().map(branch).collect(),
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
        assert_eq!(all.place(b"/l/b10/x"), union("/u/x"));
        assert_eq!(all.place(b"/l/b1/x"), union("/u/x"));
        assert_eq!(all.place(b"/l/b100/x"), Place::Elsewhere);
        assert_eq!(all.place(b"/l/b1"), union("/u"));
        assert_eq!(all.place(b"/bin/sh"), Place::Elsewhere);
    }

    #[test]
    fn the_root_and_subtrees() {
        let all = unions(vec![aufs(1, "/", "/", &["/l/top", "/l/base"])]);
        assert_eq!(all.place(b"/l/base/bin/app"), union("/bin/app"));
        assert_eq!(all.place(b"/l/base"), union("/"));
        let part = unions(vec![aufs(1, "/srv", "/data", &["/l/top"])]);
        assert_eq!(part.place(b"/l/top/data/x"), union("/srv/x"));
        assert_eq!(part.place(b"/l/top/other/x"), Place::Elsewhere);
    }

    #[test]
    fn unions_of_unions() {
        let inner = aufs(2, "/mnt/in", "/", &["/out/layer"]);
        let outer = aufs(1, "/out", "/", &["/disk/a"]);
        let all = unions(vec![outer, inner]);
        assert_eq!(all.place(b"/disk/a/layer/x"), union("/mnt/in/x"));
        assert_eq!(all.place(b"/disk/a/y"), union("/out/y"));
    }

    #[test]
    fn pseudo_links_and_orphans_have_no_name() {
        let all = unions(vec![aufs(1, "/u", "/", &["/l/b"])]);
        assert_eq!(all.place(b"/l/b/.wh..wh.plnk/12.34"), Place::Nameless);
        assert_eq!(all.place(b"/l/b/.wh..wh.orph/12"), Place::Nameless);
        assert_eq!(all.place(b"/l/b/.whatever"), union("/u/.whatever"));
    }

    #[test]
    fn opaque_directories_hide() {
        let all = unions(vec![aufs(1, "/u", "/", &["/l/top", "/l/base"])]);
        let exists = |path: &[u8]| path == b"/l/top/a/.wh..wh..opq";
        assert!(all.hidden(b"/l/base/a/b/c", &exists).is_some());
        assert!(all.hidden(b"/l/base/x/b", &exists).is_none());
        assert!(all.hidden(b"/l/top/a/b", &exists).is_none());
        assert!(all.hidden(b"/l/base/a/b", &|path| path == b"/l/top/.wh.a").is_some());
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
            prop_assert_eq!(all.place(inside.as_bytes()), union(&format!("/mnt/u{file}")));
            let outside = format!("/layer{file}");
            prop_assert_eq!(all.place(outside.as_bytes()), Place::Elsewhere);
        }
    }
}
