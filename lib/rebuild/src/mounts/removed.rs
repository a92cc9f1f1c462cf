//! Mounts of files that have no name any more: each is made in a file system of its own, and loses its name there when it is mounted, since
//! nothing without a name can be.

use crate::attributes::set_owner;
use floe_records::RemovedMount;
use floe_sys::{Error, Result, attach_tree, clone_tree, fsconfig_create, fsmount, fsopen};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, SFlag, mkdirat, mknodat},
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::{Mutex, PoisonError},
};

/// What the kernel shows behind the name.
const REMOVED: &[u8] = b"//deleted";

/// Names that are to be removed.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Vec<(OwnedFd, OsString)>>);

impl Names {
    /// All that is to be mounted is.
    pub fn remove(&self) -> Result<()> {
        for (place, name) in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            unlinkat(&place, name.as_os_str(), UnlinkatFlags::NoRemoveDir)
                .map_err(|e| Error::new("remove what was removed", e))?;
        }
        Ok(())
    }
}

/// A detached mount of one that has had this path in its file system.
pub(super) fn detached(was: &RemovedMount, path: &[u8], names: &Names) -> Result<OwnedFd> {
    floe_sys::apart("make what was removed", || {
        let fail = |e: Errno| Error::new("make what was removed", e);
        floe_sys::private_mounts()?;
        let fs = fsopen(b"tmpfs")?;
        fsconfig_create(fs.as_fd())?;
        let top = fsmount(fs.as_fd(), 0)?;
        // A mount must be in a namespace to be copied.
        let root = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(fail)?;
        attach_tree(top.as_fd(), root.as_fd())?;
        let path = path.strip_suffix(REMOVED).unwrap_or(path);
        let path = path.split(|byte| *byte == b'/').filter(|name| sane_name(name));
        let mut above: Vec<&OsStr> = path.map(OsStr::from_bytes).collect();
        let name = above.pop().unwrap_or(OsStr::new("removed"));
        let mut place = top.try_clone().map_err(|e| Error::new("keep a directory", e))?;
        for name in above {
            mkdirat(&place, name, Mode::S_IRWXU).map_err(fail)?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            place = openat(&place, name, flags, Mode::empty()).map_err(fail)?;
        }
        let kind = if was.is_fifo() { SFlag::S_IFIFO } else { SFlag::S_IFREG };
        mknodat(&place, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, 0).map_err(fail)?;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = openat(&place, name, flags, Mode::empty()).map_err(fail)?;
        set_owner(&file, was.owner, was.mode & 0o7777).map_err(fail)?;
        File::from(file)
            .write_all(&was.content.0)
            .map_err(|e| Error::new("fill what was removed", e))?;
        let file = openat(&place, name, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        let made = clone_tree(file.map_err(fail)?.as_fd())?;
        let mut named = names.0.lock().unwrap_or_else(PoisonError::into_inner);
        named.push((place, name.to_owned()));
        Ok(made)
    })
}

/// Whether a directory or a file can have this name.
fn sane_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
}
