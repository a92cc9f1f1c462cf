//! Directories of a request: that of the images, and that of the log.

use anyhow::{Context, Result};
use nix::{
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{Mode, fstatat},
    unistd::{UnlinkatFlags, symlinkat, unlinkat},
};
use std::{fs::File, io::Write, os::fd::AsFd};

/// Who may read what we write: it tells of memory.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// An open directory.
pub struct Directory(File);

impl Directory {
    /// One that was opened.
    pub fn new(file: File) -> Result<Self> {
        let about = file.metadata().context("unable to look at the directory")?;
        anyhow::ensure!(about.is_dir(), "what was given as a directory is none");
        Ok(Self(file))
    }

    /// Another handle of it.
    pub fn again(&self) -> Result<Self> {
        Ok(Self(self.0.try_clone().context("unable to duplicate a descriptor")?))
    }

    /// Makes it that of this process, and of all that it starts.
    pub fn enter(&self) -> Result<()> {
        nix::unistd::fchdir(&self.0).context("unable to enter the directory of images")
    }

    /// A file to write, emptied where it is there: it may have a label that it has to keep.
    pub fn create(&self, name: &str) -> Result<File> {
        self.open(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)
            .with_context(|| format!("unable to write {name}"))
    }

    /// A file to read.
    pub fn read(&self, name: &str) -> Result<File> {
        self.open(name, OFlag::O_RDONLY).with_context(|| format!("unable to open {name}"))
    }

    fn open(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        openat(self.0.as_fd(), name, flags | OFlag::O_CLOEXEC, MODE).map(File::from)
    }

    /// What tells a file from another one that takes its place; `None` where there is none.
    pub fn identity(&self, name: &str) -> Option<(u64, u64, i64, i64)> {
        let about = fstatat(self.0.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some((about.st_dev, about.st_ino, about.st_ctime, about.st_ctime_nsec))
    }

    /// A whole file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let fail = || format!("unable to write {name}");
        self.create(name)?.write_all(bytes).with_context(fail)
    }

    /// A file is gone behind this, if it was there.
    pub fn remove(&self, name: &str) {
        // There may have been none.
        let _ = unlinkat(self.0.as_fd(), name, UnlinkatFlags::NoRemoveDir);
    }

    /// A symbolic link, in the place of one that is there.
    pub fn link(&self, name: &str, to: &str) -> Result<()> {
        self.remove(name);
        symlinkat(to, self.0.as_fd(), name)
            .with_context(|| format!("unable to make the link {name}"))
    }
}
