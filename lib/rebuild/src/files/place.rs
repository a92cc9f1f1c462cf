//! Where paths of the tree are looked up: below the root of the process that they belong to.

use floe_plan::Tree;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::{Mode, mkdirat},
    unistd::{UnlinkatFlags, chroot, fchdir, unlinkat},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Root and working directory of a process.
pub(crate) struct Place {
    /// `None` where the root is that of restore itself.
    pub root: Option<OwnedFd>,
    pub cwd: OwnedFd,
}

/// Where the processes of a tree stand.
pub(crate) struct Places {
    /// What stands for the root of the mount namespace, where that is not our own.
    top: Option<OwnedFd>,
    all: BTreeMap<Pid, Place>,
}

impl Places {
    /// Opens all; `top` is the directory that stands for the root of the mount namespace.
    pub fn open(tree: &Tree, top: &Path, say: &mut dyn FnMut(Pid, String, Error)) -> Self {
        let mut all = BTreeMap::new();
        let top = match opened(top) {
            Ok(top) => top,
            Err(e) => {
                say(tree.root().map_or(Pid(0), |p| p.pid), "root".into(), e);
                None
            }
        };
        for (&pid, fs) in &tree.fs {
            match place(fs, top.as_ref()) {
                Ok(place) => drop(all.insert(pid, place)),
                Err(e) => say(pid, "directory".into(), e),
            }
        }
        Self { top, all }
    }

    /// Of a process.
    pub fn of(&self, pid: Pid) -> Result<&Place> {
        let gone = || Error::because("find its directories", "they are not in the stream");
        self.all.get(&pid).ok_or_else(|| gone().pid(pid.0))
    }

    /// Opens a file as a process would have to.
    pub fn path(&self, pid: Pid, name: &FileRef, flags: OFlag) -> Result<OwnedFd> {
        if name.outside {
            return lookup(self.top.as_ref(), &name.path, flags);
        }
        self.bytes(pid, &name.path, flags)
    }

    /// Opens a path as a process would.
    pub fn bytes(&self, pid: Pid, path: &Bytes, flags: OFlag) -> Result<OwnedFd> {
        lookup(self.of(pid)?.root.as_ref(), path, flags)
    }

    /// Does something with the root and the working directory of a process in place of our own.
    pub fn within<T>(&self, pid: Pid, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let place = self.of(pid)?;
        let fail = |e: Errno| Error::new("change the directory", e).pid(pid.0);
        let [root, cwd] = [c"/", c"."].map(|path| open(path, DIRECTORY, Mode::empty()));
        let (root, cwd) = (root.map_err(fail)?, cwd.map_err(fail)?);
        let enter = |root: &OwnedFd, cwd: &OwnedFd| {
            fchdir(root).and_then(|()| chroot(".")).and_then(|()| fchdir(cwd)).map_err(fail)
        };
        enter(place.root.as_ref().unwrap_or(&root), &place.cwd)?;
        let done = work();
        enter(&root, &cwd)?;
        done
    }
}

/// `None` for our own root.
fn opened(top: &Path) -> Result<Option<OwnedFd>> {
    if top == Path::new("/") {
        return Ok(None);
    }
    let fail = |e| Error::new(format!("open {}", top.display()), e);
    open(top, DIRECTORY, Mode::empty()).map(Some).map_err(fail)
}

fn place(fs: &Fs, top: Option<&OwnedFd>) -> Result<Place> {
    let root = match (fs.root.path.0.as_slice(), top) {
        (b"/", None) => None,
        _ => Some(lookup(top, &fs.root.path, DIRECTORY)?),
    };
    let cwd_below = if fs.cwd.outside { top } else { root.as_ref() };
    let cwd = match fs.cwd.deleted {
        false => lookup(cwd_below, &fs.cwd.path, DIRECTORY)?,
        true => removed(cwd_below, &fs.cwd.path)?,
    };
    Ok(Place { root, cwd })
}

/// A directory that is removed again at once, in the nearest one that is left.
fn removed(below: Option<&OwnedFd>, path: &Bytes) -> Result<OwnedFd> {
    let full = Path::new(OsStr::from_bytes(&path.0));
    let near = |dir: &Path| {
        let bytes = Bytes(dir.as_os_str().as_bytes().to_vec());
        lookup(below, &bytes, DIRECTORY).ok()
    };
    let gone = || Error::because(format!("make {path} again"), "there is nothing above it");
    let dir = full.ancestors().skip(1).find_map(near).ok_or_else(gone)?;
    let make = |name: &OsStr| {
        mkdirat(&dir, name, Mode::S_IRWXU)?;
        let made = openat(&dir, name, DIRECTORY, Mode::empty());
        unlinkat(&dir, name, UnlinkatFlags::RemoveDir).and(made)
    };
    // Somebody else may have the name by now.
    let other = format!(".floe-{}", std::process::id());
    make(full.file_name().unwrap_or_default())
        .or_else(|_| make(other.as_ref()))
        .map_err(|e| Error::new(format!("make {path} again"), e))
}

/// Opens a path below a root, out of which no symbolic link leads.
fn lookup(root: Option<&OwnedFd>, path: &Bytes, flags: OFlag) -> Result<OwnedFd> {
    let fail = |e| Error::new(format!("open {path}"), e);
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let name = Path::new(OsStr::from_bytes(&path.0));
    match root {
        None => open(name, flags, Mode::empty()).map_err(fail),
        Some(root) => {
            // openat2(2) is strict: next to O_PATH few flags may stand.
            let few = DIRECTORY | OFlag::O_NOFOLLOW;
            let flags = if flags.contains(OFlag::O_PATH) { flags & few } else { flags };
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            openat2(root.as_fd(), name, how).map_err(fail)
        }
    }
}
