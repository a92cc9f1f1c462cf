//! References to files, as a process sees them.

use crate::{inode::Inode, other_names};
use floe_proc::{Fdinfo, unable};
use floe_records::FileRef;
use floe_sys::{Result, stat_on_mount};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{FileStat, Mode, fstat, fstatat},
};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirEntryExt, OpenOptionsExt},
        },
    },
    path::PathBuf,
};

/// What /proc adds to the path of what was removed.
pub(crate) const DELETED: &[u8] = b" (deleted)";

/// The root directory of a process.
pub(crate) struct Root {
    pid: u32,
    /// Where it lies, as we see it.
    path: Vec<u8>,
    dir: File,
}

impl Root {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self> {
        Ok(Self { pid, path: floe_proc::link(pid, "root")?, dir: open(pid, "root")? })
    }

    /// Where it lies, as we see it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The file behind a link of /proc/PID: `exe`, `cwd`, `root`.
    pub fn link(&self, name: &str) -> Result<FileRef> {
        let path = floe_proc::link(self.pid, name)?;
        let file = match open(self.pid, name) {
            Err(error) if error.is_stale() => return Ok(self.stale(path)),
            other => other?,
        };
        let stat = match fstat(&file) {
            Err(Errno::ENOENT) if of_a_process(&path) => return Ok(self.stale(path)),
            stat => stat.map_err(|e| unable(self.pid, name, e))?,
        };
        let mnt_id = Some(Fdinfo::of_own(file.as_fd())?.mnt_id);
        let (path, deleted) = self.without_suffix(path, stat.st_dev, stat.st_ino);
        let (path, outside) = self.below(path);
        let (dev, ino) = (stat.st_dev, stat.st_ino);
        Ok(FileRef { path: path.into(), outside, dev, ino, mnt_id, deleted })
    }

    /// The root itself, as the root of the mount namespace sees it.
    pub fn own(&self) -> Result<FileRef> {
        let stat = match fstat(&self.dir) {
            Err(Errno::ENOENT) if of_a_process(&self.path) => {
                return Ok(unknown(self.path.clone(), true));
            }
            stat => stat.map_err(|e| unable(self.pid, "root", e))?,
        };
        let (dev, ino) = (stat.st_dev, stat.st_ino);
        let deleted = self.is_removed() || self.is_of_ended(&self.path, dev, ino);
        let bare = self.path.strip_suffix(DELETED).filter(|_| deleted).unwrap_or(&self.path);
        Ok(FileRef { path: bare.into(), outside: true, dev, ino, mnt_id: None, deleted })
    }

    /// A file that was removed or renamed over, and that its union does not open again, or a directory of descriptors of a process
    /// that has ended: its device and inode, here 0, are not to be had.
    fn stale(&self, path: Vec<u8>) -> FileRef {
        let bare = path.strip_suffix(DELETED).map(<[u8]>::to_vec);
        let (path, outside) = self.below(bare.unwrap_or(path));
        unknown(path, outside)
    }

    /// A path as the process sees it, from the path as we see it, and whether it lies outside of its root.
    pub fn below(&self, path: Vec<u8>) -> (Vec<u8>, bool) {
        match self.inner(&path) {
            Some(b"") => (b"/".to_vec(), false),
            Some(inner) => (inner.to_vec(), false),
            None => (path, true),
        }
    }

    fn inner<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.path == b"/" {
            return Some(path);
        }
        path.strip_prefix(&self.path[..]).filter(|rest| matches!(rest, [] | [b'/', ..]))
    }

    /// Takes ` (deleted)` off where it is the kernel's remark and no part of the name.
    ///
    /// A file that lost this name and has another one, beside it (as semaphores of sem_open(3) do) or where a search has found
    /// it, is not deleted: its name is that other one.
    pub fn without_suffix(&self, path: Vec<u8>, dev: u64, ino: u64) -> (Vec<u8>, bool) {
        let (path, deleted) = self.beside(path, dev, ino);
        let other = if deleted { other_names::known(self, dev, ino) } else { None };
        other.map_or((path, deleted), |other| (other, false))
    }

    /// The same without what a search has found.
    pub fn beside(&self, path: Vec<u8>, dev: u64, ino: u64) -> (Vec<u8>, bool) {
        let Some(bare) = path.strip_suffix(DELETED) else {
            let ended = self.is_of_ended(&path, dev, ino);
            return (path, ended);
        };
        // The root itself leads to itself even when it was removed.
        if self.inner(&path) == Some(b"") {
            return if self.is_removed() { (bare.to_vec(), true) } else { (path, false) };
        }
        if self.leads_to(&path, dev, ino) {
            return (path, false);
        }
        // Unlinked, and linked again under the old name since: opened again, it is still there.
        if self.leads_to(bare, dev, ino) {
            return (bare.to_vec(), false);
        }
        match self.another_name(bare, dev, ino) {
            Some(other) => (other, false),
            None => (bare.to_vec(), true),
        }
    }

    /// Whether it is a file of a process in /proc that has ended: the kernel may show it without a remark.
    fn is_of_ended(&self, path: &[u8], dev: u64, ino: u64) -> bool {
        // From a root that is gone itself nothing can be looked up.
        let leads = || match self.inner(path) {
            Some(b"") => leads_to((AT_FDCWD, path), dev, ino),
            _ => self.leads_to(path, dev, ino),
        };
        of_a_process(path) && !leads()
    }

    /// Another name of a file in the directory where it had this one.
    fn another_name(&self, path: &[u8], dev: u64, ino: u64) -> Option<Vec<u8>> {
        let cut = path.iter().rposition(|byte| *byte == b'/')?;
        let mut dir = floe_proc::path(self.pid, "root");
        match self.inner(&path[..=cut]) {
            Some(inner) => dir.push(OsStr::from_bytes(inner.strip_prefix(b"/").unwrap_or(inner))),
            None => dir = PathBuf::from(OsStr::from_bytes(&path[..=cut])),
        }
        let same = fs::read_dir(dir).ok()?.flatten().filter(|entry| entry.ino() == ino);
        let mut names = same.map(|entry| [&path[..=cut], &entry.file_name().into_vec()].concat());
        names.find(|name| self.leads_to(name, dev, ino))
    }

    /// The process by which it was opened.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its device and inode.
    pub fn inode(&self) -> (u64, u64) {
        fstat(&self.dir).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
    }

    fn is_removed(&self) -> bool {
        fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Where we find a path, which we see as /proc/PID shows it to us.
    fn place<'p>(&self, path: &'p [u8]) -> (BorrowedFd<'_>, &'p [u8]) {
        let Some(inner) = self.inner(path) else { return (AT_FDCWD, path) };
        let inner = inner.strip_prefix(b"/").unwrap_or(inner);
        (self.dir.as_fd(), if inner.is_empty() { b"." } else { inner })
    }

    /// Opens a path as we see it.
    pub fn open(&self, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
        let (at, inner) = self.place(path);
        openat(at, inner, flags | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// The file that a path leads to, as we see it, and the number of its mount; `None` where that cannot be told.
    pub fn find(&self, path: &[u8]) -> Option<(Inode, u64)> {
        let (at, inner) = self.place(path);
        let found = stat_on_mount(at, inner).ok().flatten();
        found.map(|(stat, mount)| (Inode::of_statx(&stat), mount))
    }

    /// Whether a path ends with what the kernel remarks of files that were removed.
    pub fn may_be_removed(path: &[u8]) -> bool {
        path.ends_with(DELETED)
    }

    /// Whether the path, in the mount namespace of the process, leads to this inode.
    pub fn leads_to(&self, path: &[u8], dev: u64, ino: u64) -> bool {
        leads_to(self.place(path), dev, ino)
    }
}

/// A file that no name leads to, and of which neither device nor inode is to be had.
fn unknown(path: Vec<u8>, outside: bool) -> FileRef {
    FileRef { path: path.into(), outside, dev: 0, ino: 0, mnt_id: None, deleted: true }
}

fn leads_to((at, path): (BorrowedFd<'_>, &[u8]), dev: u64, ino: u64) -> bool {
    let found = fstatat(at, path, AtFlags::AT_SYMLINK_NOFOLLOW);
    found.is_ok_and(|FileStat { st_dev, st_ino, .. }| (st_dev, st_ino) == (dev, ino))
}

/// The directory that a path lies in.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|byte| *byte == b'/')?;
    Some(if cut == 0 { b"/" } else { &path[..cut] })
}

/// Opens what a link of /proc/PID leads to, as a path only.
fn open(pid: u32, name: &str) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(floe_proc::path(pid, name));
    file.map_err(|e| unable(pid, name, e))
}

/// Whether a path is below /proc/PID.
pub(crate) fn of_a_process(path: &[u8]) -> bool {
    let rest = path.strip_prefix(b"/proc/");
    rest.is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Whether a path below /proc/PID leads to what no process has that has ended.
pub(crate) fn ends_with_its_process(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').skip(3).any(|name| name == b"net")
}
