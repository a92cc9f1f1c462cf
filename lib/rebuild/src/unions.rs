//! Union mounts that the tree stands on: compared before anything is made, and built again where that is wished.

mod compare;
mod mount;
mod outside;

pub use outside::{Replaced, outside_stacks};

use floe_plan::Step;
use floe_records::{
    Bytes, Finding, MountPoint, MountTree, MountedSystem, Namespaces, Refusals, Tree, Union,
};
use floe_unions::{Mount, Sources, Stack, Unions, mounts};
use nix::mount::{MntFlags, umount2};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

/// Mounts that were made for a restore; dropped before [`Rebuilt::keep`] they go again.
#[derive(Debug, Default)]
pub struct Rebuilt(Vec<PathBuf>);

impl Rebuilt {
    /// The restore has succeeded.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Rebuilt {
    fn drop(&mut self) {
        for point in self.0.iter().rev() {
            // Nothing more can be done than try.
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }
}

/// Carries out those of the steps that compare the union mounts of the tree with those that are here; `rebuild` mounts what
/// is missing. Paths are looked up below `top`.
pub fn unions(tree: &Tree, steps: &[Step], top: &Path, rebuild: bool) -> Result<Rebuilt, Refusals> {
    // Those of namespaces that are made again are mounted with them, or something that the user has named takes their place.
    let mut spaces = tree.all::<Namespaces>().iter();
    if !tree.all::<MountTree>().is_empty()
        && spaces.all(|all| tree.get::<MountTree>(all.mnt).is_some())
    {
        return Ok(Rebuilt::default());
    }
    let used = if rebuild { floe_plan::unions_in_use(tree) } else { HashSet::new() };
    let hint = "mount it, or have it mounted with --rebuild-unions";
    let mut settle = Settle { rebuild, hint, ..Settle::default() };
    let any = |_: &MountPoint| true;
    for union in steps_of(tree, steps) {
        if !is_described(tree, union) && !outside::is_shown(tree, union, &any) {
            settle.one(union, &at(top, &union.point), used.contains(&union.point));
        }
    }
    settle.done()
}

/// The unions of the steps, in their order.
fn steps_of<'t>(tree: &'t Tree, steps: &'t [Step]) -> impl Iterator<Item = &'t Union> {
    steps.iter().filter_map(|step| match step {
        Step::Union(row) => tree.all::<Union>().get(*row as usize),
        _ => None,
    })
}

/// Union mounts that were met.
#[derive(Default)]
struct Settle {
    rebuild: bool,
    /// What can be done about one that is missing.
    hint: &'static str,
    rebuilt: Rebuilt,
    no: Vec<Finding>,
}

impl Settle {
    /// One that belongs to a place; `used`: a path of the tree leads there.
    fn one(&mut self, union: &Union, point: &Path, used: bool) {
        let (problem, hint) = match here(point) {
            Err(unreadable) => (Some(unreadable), ""),
            Ok(Some(stack)) => (compare::differs(union, &stack), ""),
            Ok(None) if self.rebuild && !used => {
                (Some("is not mounted here, and no path of the tree leads there".to_owned()), "")
            }
            Ok(None) if self.rebuild => match mount::build(union, point) {
                Ok(()) => return self.rebuilt.0.push(point.to_owned()),
                Err(what) => (Some(format!("cannot be mounted again: {what}")), ""),
            },
            Ok(None) => (Some("is not mounted here".to_owned()), self.hint),
        };
        if let Some(problem) = problem {
            let object = format!("{} at {}", union.fs_type, point.display());
            self.no.push(Finding::about(object, "rebuild.union", problem).hint(hint));
        }
    }

    fn done(self) -> Result<Rebuilt, Refusals> {
        if self.no.is_empty() { Ok(self.rebuilt) } else { Err(Refusals(self.no)) }
    }
}

/// An overlay that is mounted anew, and attached nowhere yet. Its layers are looked up where the calling thread stands.
pub(crate) fn detached(system: &MountedSystem) -> floe_sys::Result<OwnedFd> {
    let mount = Mount {
        fs_type: system.fs_type.0.clone(),
        source: system.source.0.clone(),
        options: system.options.0.clone(),
        ..Mount::default()
    };
    let sources = Sources { sysfs: Path::new(""), ask: &|_| None, given: None };
    let read = Unions::read(std::slice::from_ref(&mount), &sources);
    let doing = || format!("mount {} ({}) again", system.source, system.fs_type);
    let fail = |problem: String| floe_sys::Error::because(doing(), problem);
    let stack = read.map_err(|e| fail(e.to_string()))?.stacks.pop();
    let branches = stack.and_then(|stack| stack.branches).unwrap_or_default();
    let branches = branches.into_iter().map(|it| (Bytes(it.path), Bytes(it.permission)));
    let union = Union {
        point: "/".into(),
        fs_type: system.fs_type.clone(),
        source: system.source.clone(),
        flags: "rw".into(),
        root: "/".into(),
        branches: branches.collect(),
        options: system.options.clone(),
    };
    mount::detached(&union).map_err(fail)
}

fn at(top: &Path, path: &Bytes) -> PathBuf {
    let relative = path.0.strip_prefix(b"/").unwrap_or(&path.0);
    let joined = top.join(OsStr::from_bytes(relative));
    // A trailing slash is no part of a mount point.
    if relative.is_empty() { top.to_owned() } else { joined }
}

/// Whether it is mounted in a mount namespace of the tree's own, which is made again.
fn is_described(tree: &Tree, union: &Union) -> bool {
    tree.all::<MountTree>().iter().any(|it| {
        let mut there = it.mounts.iter().filter(|mount| mount.point == union.point);
        there.any(|mount| it.system(mount.dev).is_some_and(|of| of.fs_type == union.fs_type))
    })
}

fn all_mounts() -> Result<Vec<Mount>, String> {
    floe_proc::read_at("/proc/self/mountinfo").map(|text| mounts(&text)).map_err(|e| e.to_string())
}

/// The union mount at exactly this place, where it is the topmost one there.
fn here(point: &Path) -> Result<Option<Stack>, String> {
    let bytes = point.as_os_str().as_bytes();
    let found = all_mounts()?.into_iter().rfind(|mount| mount.point == bytes);
    let Some(found) = found.filter(Mount::is_union) else { return Ok(None) };
    let ask = |_: &Mount| floe_sys::aufs_branch_info(fs::File::open(point).ok()?.as_fd()).ok();
    let sources = Sources { sysfs: Path::new("/sys/fs/aufs"), ask: &ask, given: None };
    let read = Unions::read(std::slice::from_ref(&found), &sources);
    let unknown = || Stack { mount: found.clone(), branches: None };
    Ok(Some(read.ok().and_then(|mut all| all.stacks.pop()).unwrap_or_else(unknown)))
}

/// The options of a super block that are no branches, unescaped. `si` is new with each mount.
fn plain_options(options: &[u8]) -> Vec<Vec<u8>> {
    const BRANCHES: [&[u8]; 8] =
        [b"si=", b"br:", b"br=", b"dirs=", b"lowerdir=", b"lowerdir+=", b"datadir+=", b"upperdir="];
    let parts = options.split(|b| *b == b',');
    parts
        .filter(|part| !BRANCHES.iter().any(|prefix| part.starts_with(prefix)))
        .map(floe_unions::unescape)
        .collect()
}

#[cfg(test)]
fn union(fs_type: &str, options: &str, branches: &[(&str, &str)]) -> Union {
    Union {
        point: "/u".into(),
        fs_type: fs_type.into(),
        source: "none".into(),
        flags: "rw,relatime".into(),
        root: "/".into(),
        branches: branches.iter().map(|(p, a)| ((*p).into(), (*a).into())).collect(),
        options: options.into(),
    }
}
