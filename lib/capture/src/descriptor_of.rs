//! A descriptor of a process as it is looked at, and why one cannot be had.

use crate::{
    Error, Result,
    path::{self, below_root},
    socket,
};
use floe_proc::Fdinfo;
use floe_records::{Bytes, FileRef, Finding, Options, Pid};
use floe_sys::pidfd_getfd;
use std::{
    cell::OnceCell,
    fs::{self, Metadata},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
};

const O_CLOEXEC: u32 = 0o2_000_000;
const O_PATH: u32 = 0o10_000_000;

/// Why something behind a descriptor cannot be had.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It is refused: a short name of the rule, why, and what can be done.
    Refused(&'static str, String, &'static str),
    /// The kernel said no.
    Sys(floe_sys::Error),
}

impl Problem {
    /// A refusal without a hint.
    pub fn new(rule: &'static str, problem: impl Into<String>) -> Self {
        Self::Refused(rule, problem.into(), "")
    }

    /// The refusal of a descriptor, or the error.
    pub fn at(self, seen: &Descriptor<'_>) -> Result<Finding> {
        match self {
            Self::Refused(rule, problem, hint) => {
                let object = seen.object();
                Ok(Finding::of(Pid(seen.pid), object, rule, problem).hint(hint))
            }
            Self::Sys(error) => Err(Error::Sys(error.pid(seen.pid))),
        }
    }
}

impl From<floe_sys::Error> for Problem {
    fn from(error: floe_sys::Error) -> Self {
        Self::Sys(error)
    }
}

/// What processes share when their descriptors are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub options: &'a Options,
    /// The target stands still, so that what is put back at once was never changed for anybody.
    pub held: bool,
}

/// A descriptor as it is found in /proc; a duplicate is taken only by who needs one.
pub(crate) struct Descriptor<'a> {
    pub pid: u32,
    pub fd: u32,
    /// What /proc/PID/fd shows.
    pub link: Vec<u8>,
    pub stat: Metadata,
    /// /proc/PID/fdinfo.
    pub info: Fdinfo,
    /// F_GETFL.
    pub flags: u32,
    pub cloexec: bool,
    pub pos: u64,
    pub context: Context<'a>,
    root: &'a [u8],
    handle: BorrowedFd<'a>,
    duplicate: OnceCell<OwnedFd>,
    name: OnceCell<Name>,
    socket: OnceCell<socket::Kind>,
}

/// A path that a descriptor was opened by.
pub(crate) struct Name {
    /// As the process sees it.
    pub path: Vec<u8>,
    /// It lies outside of the root of the process.
    pub outside: bool,
    /// No name leads to the file any more.
    pub deleted: bool,
    /// The path as we see it, without the kernel's remark.
    full: Vec<u8>,
}

impl Name {
    /// The path as we see it, without the kernel's remark.
    pub fn full(&self) -> &[u8] {
        &self.full
    }
}

impl<'a> Descriptor<'a> {
    /// Reads what /proc says of a descriptor; `handle` is a pidfd of the process, `root` its root as we see it.
    pub fn read(
        pid: u32,
        fd: u32,
        handle: BorrowedFd<'a>,
        root: &'a [u8],
        context: Context<'a>,
    ) -> Result<Self> {
        let name = format!("fd/{fd}");
        let link = floe_proc::link(pid, &name)?;
        let stat = fs::metadata(floe_proc::fd_path(pid, fd))
            .map_err(|e| floe_proc::unable(pid, &name, e))?;
        let info = Fdinfo::of(pid, fd)?;
        let (all, pos) = (info.flags, info.pos as u64);
        Ok(Self {
            pid,
            fd,
            link,
            stat,
            info,
            flags: all & !O_CLOEXEC,
            cloexec: all & O_CLOEXEC != 0,
            pos,
            context,
            root,
            handle,
            duplicate: OnceCell::new(),
            name: OnceCell::new(),
            socket: OnceCell::new(),
        })
    }

    /// How people know it.
    pub fn object(&self) -> String {
        format!("fd {} ({})", self.fd, String::from_utf8_lossy(&self.link))
    }

    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.stat.dev(), self.stat.ino())
    }

    /// Whether it is only a path (O_PATH of open(2)).
    pub fn is_path(&self) -> bool {
        self.flags & O_PATH != 0
    }

    /// Whether it is a kernel object of this name, such as `[eventfd]`.
    pub fn is_anonymous(&self, name: &str) -> bool {
        self.link.strip_prefix(b"anon_inode:") == Some(name.as_bytes())
    }

    /// A duplicate, which shares the description but not the table.
    pub fn duplicate(&self) -> Result<BorrowedFd<'_>, floe_sys::Error> {
        if self.duplicate.get().is_none() {
            let fd = pidfd_getfd(self.handle, self.fd as i32)?;
            let _ = self.duplicate.set(fd);
        }
        let none = || floe_sys::Error::because("take a duplicate", "there is none");
        self.duplicate.get().map(AsFd::as_fd).ok_or_else(none)
    }

    /// The duplicate itself.
    pub fn into_duplicate(self) -> Result<OwnedFd, floe_sys::Error> {
        self.duplicate()?;
        let none = || floe_sys::Error::because("take a duplicate", "there is none");
        self.duplicate.into_inner().ok_or_else(none)
    }

    /// Family, type and protocol, of a socket.
    pub fn socket(&self) -> Option<socket::Kind> {
        if !self.stat.file_type().is_socket() || self.is_path() {
            return None;
        }
        if let Some(kind) = self.socket.get() {
            return Some(*kind);
        }
        let kind = socket::kind(self.duplicate().ok()?).ok()?;
        Some(*self.socket.get_or_init(|| kind))
    }

    /// The path that it was opened by, where there was one.
    pub fn name(&self) -> Option<&Name> {
        if !self.link.starts_with(b"/") {
            return None;
        }
        Some(self.name.get_or_init(|| {
            let (dev, ino) = self.inode();
            let (full, deleted) = path::without_suffix(self.pid, self.link.clone(), dev, ino);
            let (path, outside) = below_root(full.clone(), self.root);
            Name { path, outside, deleted, full }
        }))
    }

    /// Whether it has a path that still leads to it.
    pub fn is_named(&self) -> bool {
        self.name().is_some_and(|name| !name.deleted)
    }

    /// The file by its name, where that can be opened again.
    pub fn file(&self) -> Result<FileRef, Problem> {
        let refuse = |problem: &str| Problem::new("file.name", problem);
        let (dev, ino) = self.inode();
        let name = self.name().ok_or_else(|| refuse("it never had a name"))?;
        if path::of_a_process(&self.link) {
            return Err(refuse("files of a process in /proc cannot be captured"));
        }
        if name.deleted {
            return Err(refuse("it was removed, and is no regular file"));
        }
        if !path::leads_to(self.pid, &name.full, dev, ino) {
            return Err(refuse("its path leads to another file by now"));
        }
        let mnt_id = Some(self.info.mnt_id);
        let (path, outside) = (Bytes(name.path.clone()), name.outside);
        Ok(FileRef { path, outside, dev, ino, mnt_id, deleted: false })
    }

    /// Why no kind claims it.
    pub fn unknown(&self) -> Problem {
        let kind = self.stat.file_type();
        if self.is_path() {
            let what =
                "a descriptor that is only a path (O_PATH) of such a file cannot be captured";
            Problem::new("file.path", what)
        } else if kind.is_block_device() {
            Problem::new("file.block", "open block devices cannot be captured")
        } else if kind.is_socket() {
            Problem::new("file.socket", socket::unknown(self.socket()))
        } else if self.name().is_some_and(|name| name.deleted) {
            Problem::new("file.removed", "it was removed, and is no regular file")
        } else {
            Problem::new("file.kind", "this kind of descriptor cannot be captured")
        }
    }
}
