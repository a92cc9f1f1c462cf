//! Mount namespaces of the tree that are not the one of freeze: what is mounted there, and whether it can be mounted again.

mod files;
mod pids;
mod removed;
mod roots;

pub use files::{FilesOf, Found};
pub use removed::removed_mounts;
pub use roots::{carry_roots, part_of};

use crate::Result;
use floe_mounts::{Mount, all_of, attributes, is_in_memory, is_of_kernel, mounts};
use floe_records::{
    Finding, Findings, MountPoint, MountTree, MountedSystem, NsId, OutsideGroup, OutsideMount, Pid,
    ProcSpace, Union,
};
use floe_unions::{Branch, Sources, Stack, Unions};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// The rule of all refusals.
const RULE: &str = "namespace.mnt";
/// Mounts of ours that are named of a file system.
const OUTSIDE: usize = 16;

/// A mount namespace.
pub struct Space {
    /// A process that is in it.
    pub pid: Pid,
    /// The namespace.
    pub file: OwnedFd,
    /// Everything that is mounted there.
    pub mounts: Vec<Mount>,
}

impl Space {
    /// That of a process.
    ///
    /// # Errors
    /// Where it cannot be entered.
    pub fn of(pid: Pid) -> Result<Self> {
        let path = floe_proc::path(pid.0, "ns/mnt");
        let file: OwnedFd =
            File::open(path).map_err(|e| floe_proc::unable(pid.0, "ns/mnt", e))?.into();
        let mounts = all_of(file.as_fd()).map_err(|e| e.pid(pid.0))?;
        Ok(Self { pid, file, mounts })
    }
}

/// Our own mounts.
pub struct Own {
    mounts: Vec<Mount>,
}

impl Own {
    /// Reads them.
    ///
    /// # Errors
    /// Those of reading /proc.
    pub fn read() -> Result<Self> {
        let mounts = mounts(&floe_proc::read_at("/proc/self/mountinfo")?);
        Ok(Self { mounts })
    }

    /// What our AUFS mounts are made of; of those whose branches nothing tells, nothing. That is to be seen only where they were mounted.
    ///
    /// # Errors
    /// Those of reading /sys.
    pub fn stacks(&self) -> Result<Stacks> {
        stacks(&self.mounts).map(Stacks)
    }

    /// Mounts of a file system, those that show most of it first.
    fn showing(&self, dev: u64) -> Vec<OutsideMount> {
        let own = self.mounts.iter().filter(|mount| mount.dev == dev);
        let outside = |mount: &Mount| OutsideMount {
            point: mount.point.clone().into(),
            root: mount.root.clone().into(),
        };
        let mut all: Vec<OutsideMount> = own.map(outside).collect();
        all.sort_by_key(|mount: &OutsideMount| mount.root.0.len());
        all.truncate(OUTSIDE);
        all
    }
}

/// AUFS mounts of ours.
pub struct Stacks(Vec<Union>);

impl Stacks {
    /// Those that a mount namespace shows parts of.
    pub fn of<'s>(&'s self, tree: &'s MountTree) -> impl Iterator<Item = &'s Union> {
        let outside = tree.systems.iter().filter_map(|system| system.outside.first());
        outside.filter_map(|mount| {
            let is_it = |union: &&Union| (&union.point, &union.root) == (&mount.point, &mount.root);
            self.0.iter().find(is_it)
        })
    }
}

/// The AUFS mounts among these whose branches are known.
fn stacks(mounts: &[Mount]) -> Result<Vec<Union>> {
    let ask = |mount: &Mount| {
        let point = File::open(Path::new(OsStr::from_bytes(&mount.point))).ok()?;
        floe_sys::aufs_branch_info(point.as_fd()).ok()
    };
    let sources = Sources { sysfs: Path::new("/sys/fs/aufs"), ask: &ask, given: None };
    let aufs = mounts.iter().filter(|mount| mount.fs_type == b"aufs").cloned();
    let unable = |e| floe_sys::Error::new("read the branches of AUFS mounts", e);
    let all = Unions::read(&aufs.collect::<Vec<_>>(), &sources).map_err(unable)?;
    Ok(all.stacks.iter().filter_map(union_record).collect())
}

/// The record of a union mount; `None` where its branches are not known.
pub fn union_record(stack: &Stack) -> Option<Union> {
    let branch = |b: &Branch| (b.path.clone().into(), b.permission.clone().into());
    let Mount { point, fs_type, root, options, source, flags, .. } = &stack.mount;
    Some(Union {
        point: point.clone().into(),
        fs_type: fs_type.clone().into(),
        source: source.clone().into(),
        flags: flags.clone().into(),
        root: root.clone().into(),
        branches: stack.branches.as_ref()?.iter().map(branch).collect(),
        options: options.clone().into(),
    })
}

/// Describes a mount namespace; says which mounts cannot be mounted again. `pids` are pid namespaces that lie below that of the tree;
/// gives also which file systems show them.
pub fn describe(
    id: NsId,
    space: &Space,
    (own, pids): (&Own, &BTreeSet<NsId>),
    out: &mut Findings,
) -> (MountTree, Vec<ProcSpace>) {
    let mut systems: BTreeMap<u64, MountedSystem> = BTreeMap::new();
    let mut procs = Vec::new();
    let mut list = Vec::with_capacity(space.mounts.len());
    for mount in in_order(&space.mounts) {
        let system = systems.entry(mount.dev).or_insert_with(|| system(space, mount, own));
        let point = row(mount, list.is_empty());
        if let Some((problem, hint)) = problem(space, mount, &point, system) {
            let shown = String::from_utf8_lossy(&mount.point);
            let fs_type = String::from_utf8_lossy(&mount.fs_type);
            let object = format!("mount {shown} ({fs_type})");
            out.refuse(Finding::of(space.pid, object, RULE, problem).hint(hint));
        } else {
            procs.extend(pids::check(space, mount, system, pids, out));
        }
        list.push(point);
    }
    // Of one that shows nothing else, all that travels is what was removed.
    let named = space.mounts.iter().filter(|mount| !removed::is_removed(mount));
    let named: BTreeSet<u64> = named.map(|mount| mount.dev).collect();
    systems.values_mut().for_each(|system| system.carried &= named.contains(&system.dev));
    if list.is_empty() {
        let problem = "nothing is mounted in it that could be seen";
        out.refuse(Finding::of(space.pid, "mnt namespace", RULE, problem));
    }
    let groups: BTreeSet<u32> =
        list.iter().flat_map(|mount| mount.peers.into_iter().chain(mount.master)).collect();
    let mut outside: BTreeMap<u32, OutsideGroup> = BTreeMap::new();
    for mount in &own.mounts {
        if let Some(group) = mount.peers.filter(|group| groups.contains(group)) {
            let point = mount.point.clone().into();
            outside.entry(group).or_insert(OutsideGroup { group, point });
        }
    }
    if procs.iter().any(|it: &ProcSpace| list.first().is_some_and(|root| root.dev == it.dev)) {
        let problem = "its root is a proc file system of a pid namespace below that of the tree";
        out.refuse(Finding::of(space.pid, "mnt namespace", RULE, problem));
    }
    let tree = MountTree {
        id,
        mounts: list,
        systems: systems.into_values().collect(),
        outside: outside.into_values().collect(),
    };
    (tree, procs)
}

/// Each behind the one that it is mounted on; the root is on none of them.
fn in_order(mounts: &[Mount]) -> Vec<&Mount> {
    let ids: BTreeSet<u32> = mounts.iter().map(|mount| mount.id).collect();
    let mut on: BTreeMap<u32, Vec<&Mount>> = BTreeMap::new();
    let mut next = Vec::new();
    for mount in mounts {
        if mount.parent != mount.id && ids.contains(&mount.parent) {
            on.entry(mount.parent).or_default().push(mount);
        } else if next.is_empty() {
            next.push(mount);
        }
    }
    let mut order: Vec<&Mount> = Vec::with_capacity(mounts.len());
    while let Some(mount) = next.pop() {
        order.push(mount);
        next.extend(on.remove(&mount.id).unwrap_or_default().into_iter().rev());
    }
    order
}

fn row(mount: &Mount, is_root: bool) -> MountPoint {
    MountPoint {
        id: mount.id,
        parent: if is_root { 0 } else { mount.parent },
        point: mount.point.clone().into(),
        dev: mount.dev,
        root: mount.root.clone().into(),
        flags: mount.flags.clone().into(),
        peers: mount.peers,
        master: mount.master,
        unbindable: mount.unbindable,
    }
}

fn system(space: &Space, mount: &Mount, own: &Own) -> MountedSystem {
    let outside = own.showing(mount.dev);
    // What is written to hugetlbfs is not carried.
    let in_memory = is_in_memory(&mount.fs_type)
        || (mount.fs_type == b"hugetlbfs" && removed::is_empty(space, mount));
    let carried = outside.is_empty() && in_memory;
    MountedSystem {
        dev: mount.dev,
        fs_type: mount.fs_type.clone().into(),
        source: mount.source.clone().into(),
        options: mount.options.clone().into(),
        outside,
        carried,
    }
}

/// Why a mount cannot be made again, and what the user can do.
fn problem(
    space: &Space,
    mount: &Mount,
    point: &MountPoint,
    system: &MountedSystem,
) -> Option<(String, &'static str)> {
    if attributes(&mount.flags).is_none() {
        let flags = String::from_utf8_lossy(&mount.flags);
        return Some((format!("one of its options cannot be set again: {flags}"), ""));
    }
    if removed::is_removed(mount) {
        let kept = matches!(removed::removed(space, mount), Ok(Some(_)));
        return (!kept).then(|| ("what it shows was removed".into(), "unmount it"));
    }
    if !mount.root.starts_with(b"/") || mount.root.starts_with(b"/..") {
        let same = system.outside.iter().any(|outside| outside.root == point.root);
        let problem = "what it shows is not below the root of its file system";
        return (!same).then(|| (problem.into(), "unmount it"));
    }
    let is_shown = |outside: &OutsideMount| point.part_of(&outside.root).is_some();
    let fs_type = mount.fs_type.as_slice();
    if system.outside.iter().any(is_shown) || is_of_kernel(fs_type) || system.carried {
        return None;
    }
    let hint = "mount it in the namespace of freeze as well, or unmount it";
    if !system.outside.is_empty() {
        let problem = "the part of its file system that it shows is mounted nowhere else";
        return Some((problem.into(), hint));
    }
    if fs_type == b"overlay" {
        return None;
    }
    if fs_type == b"autofs" {
        return Some(("a daemon mounts what is looked up there (autofs)".into(), "unmount it"));
    }
    if fs_type.starts_with(b"fuse") {
        return Some(("a process answers for it (FUSE)".into(), hint));
    }
    Some(("its file system is mounted nowhere else".into(), hint))
}
