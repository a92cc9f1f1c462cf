//! A mount namespace in which others are prepared: below its root are the mounts of the namespace that it was made in, and each
//! file system that is wanted.

use crate::{
    Mount,
    space::{apart, copied, uncovered},
    unescape,
};
use floe_sys::{
    Error, Result, attach_tree, clone_tree, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount_message,
};
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sched::{CloneFlags, setns},
    sys::stat::{Mode, SFlag, fstat, mkdirat, mknodat},
    unistd::{fchdir, pivot_root},
};
use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

pub(crate) const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Where the mounts of the namespace are that it was made in.
const OLD: &str = "old";
/// Our own /proc there.
pub(crate) const OLD_PROC: &str = "/old/proc";
/// Where a root is put together.
pub(crate) const NEW: &str = "new";

/// A file system that is mounted anew.
#[derive(Clone, Debug)]
pub struct System<'a> {
    /// Its type.
    pub fs_type: &'a [u8],
    /// What is named as the device.
    pub source: &'a [u8],
    /// Its options as mountinfo shows them, escaped.
    pub options: &'a [u8],
    /// It is written to first: `ro` is left out.
    pub filled: bool,
    /// The namespace that it is to show, where that is not our own.
    pub space: Option<BorrowedFd<'a>>,
}

/// Where a file system is to be had.
pub enum Base<'a> {
    /// It is mounted anew.
    Anew(System<'a>),
    /// It is mounted anew by somebody, who stands where our own mounts are: a detached mount of it.
    By(Box<dyn Fn() -> Result<OwnedFd> + Sync + 'a>),
    /// One of our own mounts, from its top on.
    Mount(&'a Mount),
    /// What one of our paths leads to.
    Path(&'a Path),
}

/// The workshop. Dropped, it goes with all that is mounted in it.
#[derive(Debug)]
pub struct Workshop {
    /// The namespace.
    pub(crate) space: OwnedFd,
    /// File systems, in the order in which they were wanted: mounted as they are, and free of other mounts.
    bases: Vec<OwnedFd>,
}

impl Workshop {
    /// Makes it, with these file systems. The `n`th problem is that of the `n`th one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(wanted: &[Base<'_>]) -> Result<(Self, Vec<Option<Error>>)> {
        apart(|| {
            let fail = |e| Error::new("set up a mount namespace", e);
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).map_err(fail)?;
            floe_sys::private_mounts()?;
            let space = own_space("/proc")?;
            let old = open("/", PATH | OFlag::O_DIRECTORY, Mode::empty()).map_err(fail)?;
            let scratch = scratch()?;
            let made: Vec<Result<OwnedFd>> =
                wanted.iter().map(|base| base_of(base, old.as_fd())).collect();
            attach_tree(scratch.as_fd(), old.as_fd())?;
            for name in [OLD, NEW] {
                mkdirat(&scratch, name, Mode::S_IRWXU).map_err(fail)?;
            }
            fchdir(&scratch).and_then(|()| pivot_root(".", OLD)).map_err(fail)?;
            let mut problems = Vec::with_capacity(made.len());
            let mut bases = Vec::with_capacity(made.len());
            for (at, made) in made.into_iter().enumerate() {
                let put = made.and_then(|made| {
                    let place = place_for(&scratch, at, &made)?;
                    attach_tree(made.as_fd(), place.as_fd()).map(|()| made)
                });
                match put {
                    Ok(made) => {
                        bases.push(made);
                        problems.push(None);
                    }
                    Err(e) => {
                        bases.push(scratch.try_clone().map_err(|e| Error::new("keep it", e))?);
                        problems.push(Some(e));
                    }
                }
            }
            Ok((Self { space, bases }, problems))
        })
    }

    /// The top of a file system.
    pub fn base(&self, at: usize) -> Option<BorrowedFd<'_>> {
        self.bases.get(at).map(AsFd::as_fd)
    }
}

/// The mount namespace of the calling thread.
pub(crate) fn own_space(proc: &str) -> Result<OwnedFd> {
    let path = format!("{proc}/thread-self/ns/mnt");
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).map_err(|e| Error::new(format!("open {path}"), e))
}

/// The same, of a thread that stands in a copy of a workshop.
pub(crate) fn copied_space() -> Result<OwnedFd> {
    own_space(OLD_PROC)
}

/// A directory of ours in the workshop.
fn scratch() -> Result<OwnedFd> {
    let fs = fsopen(b"tmpfs")?;
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), 0)
}

fn name_of(at: usize) -> String {
    format!("fs{at}")
}

/// A directory to mount it at, or a file for what is one.
fn place_for(scratch: &OwnedFd, at: usize, made: &OwnedFd) -> Result<OwnedFd> {
    let fail = |e| Error::new("make a mount point", e);
    let name = name_of(at);
    let mode = fstat(made).map_err(fail)?.st_mode;
    let is_dir = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
    match is_dir {
        true => mkdirat(scratch, name.as_str(), Mode::S_IRWXU),
        false => mknodat(scratch, name.as_str(), SFlag::S_IFREG, Mode::S_IRUSR, 0),
    }
    .map_err(fail)?;
    openat(scratch, name.as_str(), PATH, Mode::empty()).map_err(fail)
}

fn base_of(base: &Base<'_>, old: BorrowedFd<'_>) -> Result<OwnedFd> {
    match base {
        Base::Anew(system) => match system.space {
            None => mount_anew(system),
            Some(space) => apart(|| {
                let fail = |e| Error::new("enter a namespace that is to be shown", e);
                setns(space, CloneFlags::empty()).map_err(fail)?;
                mount_anew(system)
            }),
        },
        Base::By(make) => make(),
        Base::Mount(mount) => inner_copy(mount),
        Base::Path(path) => {
            let fail = |e| Error::new(format!("open {}", path.display()), e);
            let how = OpenHow::new().flags(PATH).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            clone_tree(openat2(old, *path, how).map_err(fail)?.as_fd())
        }
    }
}

/// A copy of one of our mounts, in whose way something may be.
fn inner_copy(mount: &Mount) -> Result<OwnedFd> {
    let space = own_space("/proc")?;
    copied(space.as_fd(), |view| uncovered(mount, view))
}

/// What is no option: the security module shows this one by itself.
const SHOWN: [&[u8]; 2] = [b"rw", b"seclabel"];

/// A detached mount of a file system that is mounted anew, in the namespaces of the calling thread.
///
/// # Errors
/// Those of fsopen(2) and of what follows, as the kernel explains them.
pub fn mount_anew(system: &System<'_>) -> Result<OwnedFd> {
    let fs = fsopen(system.fs_type)?;
    let explained = |error: Error| {
        let mut text = error.cause().to_string();
        while let Ok(Some(message)) = mount_message(fs.as_fd()) {
            text = format!("{text} ({message})");
        }
        let fs_type = String::from_utf8_lossy(system.fs_type);
        Error::because(format!("mount a file system of the type {fs_type}"), text)
    };
    let set_up = || {
        if !system.source.is_empty() {
            fsconfig_set_string(fs.as_fd(), b"source", system.source)?;
        }
        let options = system.options.split(|byte| *byte == b',');
        let given = |option: &&[u8]| {
            let shown = option.is_empty() || SHOWN.contains(option);
            !(shown || system.filled && *option == b"ro")
        };
        for option in options.filter(given) {
            match option.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    let value = unescape(&option[at + 1..]);
                    fsconfig_set_string(fs.as_fd(), &option[..at], &value)?;
                }
                None => fsconfig_set_flag(fs.as_fd(), option)?,
            }
        }
        fsconfig_create(fs.as_fd())?;
        fsmount(fs.as_fd(), 0)
    };
    set_up().map_err(explained)
}

/// Opens as a path only what a path below a directory leads to, on the same mount and by no link.
///
/// # Errors
/// Those of openat2(2).
pub fn below(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let fail = |e| Error::new(format!("open {}", String::from_utf8_lossy(path)), e);
    if inner.is_empty() {
        return dir.try_clone_to_owned().map_err(|e| Error::new("keep a directory", e));
    }
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(PATH).resolve(resolve);
    openat2(dir, Path::new(OsStr::from_bytes(inner)), how).map_err(fail)
}
