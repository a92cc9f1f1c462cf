//! A mount namespace: its mounts as its root sees them, and how we reach its files.
//!
//! /proc/PID/mountinfo leaves out what lies above the root of the process: of one that is chrooted into a directory of
//! a union it shows no union at all. So the mounts are read where the whole namespace is seen: by ourselves where
//! it is ours, else by a process of that namespace whose root is the namespace's.

use crate::sources::{Sources, table};
use anyhow::{Context, Result};
use floe_unions::{Mount, Stack, Unions, below, mounts};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

/// A mount namespace in which union mounts are.
#[derive(Debug)]
pub struct Space {
    /// All mounts.
    pub mounts: Vec<Mount>,
    /// The union mounts among them.
    pub unions: Unions,
    /// A directory that leads to its root, where there is one.
    reach: Option<PathBuf>,
}

impl Space {
    /// Of a process, whose root is `root`.
    pub fn read(sources: &Sources, pid: u32, root: &[u8]) -> Result<Self> {
        let (mounts, reach) =
            if sources.is_live() { live(pid, root) } else { recorded(&sources.process(pid), root) };
        let from = floe_unions::Sources {
            sysfs: &sources.sysfs,
            ask: &|mount| ask(&at(reach.as_deref()?, &mount.point)),
            given: sources.branches.as_ref(),
        };
        let unions = Unions::read(&mounts, &from)
            .with_context(|| format!("pid {pid}: unable to read its union mounts"))?;
        Ok(Self { mounts, unions, reach })
    }

    /// Where we find a path of the namespace.
    pub fn reach(&self, path: &[u8]) -> Option<PathBuf> {
        self.reach.as_deref().map(|root| at(root, path))
    }

    /// The union mount that a path lies on.
    pub fn over(&self, path: &[u8]) -> Option<&Stack> {
        self.unions.over(&self.mounts, path)
    }
}

/// `path` below `root`.
pub fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)))
}

/// The mount namespace of a process; `None` where it has ended, or may not be looked at.
pub fn namespace(pid: u32) -> Option<u64> {
    floe_proc::namespace(pid, "mnt").ok().flatten()
}

fn live(pid: u32, root: &[u8]) -> (Vec<Mount>, Option<PathBuf>) {
    let here = namespace(pid);
    if here.is_some() && here == namespace(std::process::id()) {
        return (read(Path::new("/proc/self/mountinfo")), Some("/".into()));
    }
    let sees_all = |pid: &u32| {
        namespace(*pid) == here && floe_proc::link(*pid, "root").is_ok_and(|root| root == b"/")
    };
    // Where /proc cannot be listed, the process itself is the only witness.
    let all = || floe_proc::numbers_in("/proc").unwrap_or_default();
    let witness = if sees_all(&pid) { Some(pid) } else { all().into_iter().find(sees_all) };
    let mountinfo = |pid| read(&floe_proc::path(pid, "mountinfo"));
    match witness {
        Some(witness) => (mountinfo(witness), Some(floe_proc::path(witness, "root"))),
        // What it sees itself has to do.
        None => (prefixed(mountinfo(pid), root), None),
    }
}

/// A recording may hold the mounts of the reader beside those of the process.
fn recorded(dir: &Path, root: &[u8]) -> (Vec<Mount>, Option<PathBuf>) {
    let own = read(&dir.join("mountinfo"));
    let readers = read(&dir.join("mountinfo.host"));
    let same =
        |mount: &Mount| readers.iter().any(|other| (other.id, other.dev) == (mount.id, mount.dev));
    let knows_all = !readers.is_empty() && own.iter().all(same);
    (if knows_all { readers } else { prefixed(own, root) }, None)
}

fn read(path: &Path) -> Vec<Mount> {
    fs::read(path).map_or_else(|_| Vec::new(), |text| mounts(&text))
}

/// Mount points from the root of the namespace in the place of those from the root of the process. A copy that was made
/// elsewhere may have them already.
fn prefixed(mut mounts: Vec<Mount>, root: &[u8]) -> Vec<Mount> {
    let done = root == b"/" || mounts.iter().any(|mount| below(&mount.point, root).is_some());
    for mount in mounts.iter_mut().filter(|_| !done) {
        let inner = if mount.point == b"/" { &[][..] } else { &mount.point };
        mount.point = [root, inner].concat();
    }
    mounts
}

/// Asks the file system itself.
fn ask(point: &Path) -> Option<Vec<u8>> {
    floe_sys::aufs_branch_info(File::open(point).ok()?.as_fd()).ok()
}

/// The root of a process, from the root of its namespace.
pub fn root(dir: &Path) -> Vec<u8> {
    match fs::read_link(dir.join("root")) {
        Ok(root) => root.into_os_string().into_vec(),
        Err(_) => table(&dir.join("links")).remove(&b"root"[..]).unwrap_or_else(|| b"/".to_vec()),
    }
}
