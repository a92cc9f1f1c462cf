//! Roots and working directories of all processes, and what was removed.

use super::{DIRECTORY, Directories, lookup};
use crate::{
    mounts::Mounts,
    removed::{self, RemovedNodes},
    same::{Comparison, Found},
    users::Users,
};
use floe_records::*;
use floe_sys::{Error, Result};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    os::fd::OwnedFd,
    sync::Arc,
};

/// What tells directories apart: the root and its namespace, then the working directory.
fn key<'a>(tree: &Tree, fs: &'a Fs) -> (Option<Place>, &'a Bytes, bool, (u64, u64)) {
    (tree.place(fs.pid), &fs.cwd.path, fs.cwd.outside, (fs.cwd.dev, fs.cwd.ino))
}

/// The roots of mount namespaces.
#[derive(Clone, Copy)]
pub(super) struct Tops<'a> {
    pub tree: &'a Tree,
    /// What stands for that of ours.
    pub own: Option<&'a OwnedFd>,
    pub mounts: &'a Mounts,
}

impl<'a> Tops<'a> {
    /// Of the one that a process is in.
    fn of(self, pid: Pid) -> Option<&'a OwnedFd> {
        let members = self.tree.get::<Namespaces>(pid);
        members.and_then(|members| self.mounts.top(members.mnt)).or(self.own)
    }
}

/// Makes what no name leads to any more, root by root.
pub(super) fn removed_nodes(tops: Tops<'_>, users: &Users<'_>) -> Result<RemovedNodes> {
    let tree = tops.tree;
    let mut by_root: BTreeMap<(NsId, Option<&Bytes>), Vec<&RemovedNode>> = BTreeMap::new();
    let (mut made, unfollowed) = (RemovedNodes::default(), removed::unfollowed(tree));
    // What is below a root that is there is looked up below it; all else, roots that were removed among it, below our own.
    for node in tree.all::<RemovedNode>() {
        let root = tree.get::<Fs>(node.pid).filter(|fs| !node.name.outside && !fs.root.deleted);
        let space = tree.get::<Namespaces>(node.pid).map_or(NsId(0), |all| all.mnt);
        by_root.entry((space, root.map(|fs| &fs.root.path))).or_default().push(node);
    }
    for ((space, root), nodes) in by_root {
        let top = tops.mounts.top(space).or(tops.own);
        let root = root.filter(|root| root.0 != b"/");
        let root = root.map(|root| lookup(top, root, DIRECTORY)).transpose()?;
        let below = root.as_ref().or(top);
        let lookup = |path: &Bytes| lookup(below, path, DIRECTORY);
        removed::make(nodes.into_iter(), &unfollowed, &lookup, (tree, users), &mut made)?;
    }
    Ok(made)
}

/// Those of all processes.
pub(super) fn all_directories(
    tree: &Tree,
    tops: Tops<'_>,
    same: &Comparison,
    removed: &RemovedNodes,
    report: &mut dyn FnMut(Pid, String, Error),
) -> BTreeMap<Pid, Arc<Directories>> {
    let (mut all, mut open) = (BTreeMap::new(), BTreeMap::new());
    for fs in tree.all::<Fs>() {
        let found = match open.entry(key(tree, fs)) {
            Entry::Occupied(found) => Ok(Arc::clone(found.get())),
            Entry::Vacant(place) => directories(fs, tops.of(fs.pid), same, removed)
                .map(|found| Arc::clone(place.insert(Arc::new(found)))),
        };
        match found {
            Ok(found) => drop(all.insert(fs.pid, found)),
            Err(error) => report(fs.pid, "directory".into(), error),
        }
    }
    all
}

fn directories(
    fs: &Fs,
    top: Option<&OwnedFd>,
    same: &Comparison,
    nodes: &RemovedNodes,
) -> Result<Directories> {
    let checked = |name: &FileRef, below: Option<&OwnedFd>| {
        let path = lookup(below, &name.path, DIRECTORY)?;
        same.inode(name, &Found::of(&path)?).map(|()| path)
    };
    let own_root = fs.root.path.0 == b"/" && top.is_none();
    let again = |name: &FileRef| nodes.made.get(&name.object()).map(|node| node.open(DIRECTORY));
    let root = match again(&fs.root).filter(|_| fs.root.deleted) {
        Some(root) => Some(root?),
        None => Some(checked(&fs.root, top)?).filter(|_| !own_root),
    };
    let cwd_below = if fs.cwd.outside { top } else { root.as_ref() };
    let cwd = match fs.cwd.deleted {
        false => checked(&fs.cwd, cwd_below)?,
        true => again(&fs.cwd).unwrap_or_else(|| {
            removed::directory(&fs.cwd.path, &|path| lookup(cwd_below, path, DIRECTORY))
        })?,
    };
    Ok(Directories { root, cwd })
}
