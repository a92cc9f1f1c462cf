//! A root directory that nobody else sees, in which a socket can be bound to a name that is another file's by now.

use floe_sys::{Error, Result, fsconfig_create, fsmount, fsopen};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sched::{CloneFlags, unshare},
    sys::stat::Mode,
    unistd::{chroot, fchdir, mkdir},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// A file system in memory that is mounted nowhere, and gone with the last descriptor of it.
pub(crate) struct PrivateRoot(OwnedFd);

impl PrivateRoot {
    /// An empty one. Needs CAP_SYS_ADMIN, and CAP_SYS_CHROOT to stand in it.
    pub fn new() -> Result<Self> {
        let fs = fsopen(b"tmpfs")?;
        fsconfig_create(fs.as_fd())?;
        fsmount(fs.as_fd(), 0).map(Self)
    }

    /// A directory in the place of one.
    pub fn at(dir: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(dir, flags, Mode::empty());
        dir.map(Self).map_err(|e| Error::new("open a directory", e))
    }

    /// Does something in a thread whose root and working directory it is, with all directories that lead to `name` made.
    pub fn within<T: Send>(
        &self,
        name: &Path,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        floe_sys::apart("work in a private root", || {
            let fail = |e: Errno| Error::new("enter a private root", e);
            unshare(CloneFlags::CLONE_FS).map_err(fail)?;
            fchdir(&self.0).and_then(|()| chroot(".")).map_err(fail)?;
            directories(name).map_err(fail)?;
            work()
        })
    }
}

fn directories(name: &Path) -> nix::Result<()> {
    let mut all: Vec<&Path> = name.ancestors().skip(1).collect();
    all.retain(|directory| !directory.as_os_str().is_empty());
    for directory in all.into_iter().rev() {
        match mkdir(directory, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
