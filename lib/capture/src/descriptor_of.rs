//! A descriptor of a process as it is looked at, and why one cannot be had.

use crate::{
    Error, Result,
    inode::Inode,
    path::{self, Root},
    sock_diag::{InetSockets, UnixSockets, UnixState},
    socket_kind,
};
use floe_proc::{Descriptors, Fdinfo};
use floe_records::{Bytes, FileRef, Finding, Options, Pid};
use floe_sys::{pidfd_getfd, pidfd_open};
use nix::sys::stat::{FileStat, fstat};
use std::{
    cell::OnceCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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

/// Why descriptors are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To find what cannot be captured, of processes that run: descriptors may come and go meanwhile.
    Preview,
    /// The same, of processes that stand still. What no refusal depends on (options of sockets, modes of terminals, owners)
    /// is left out.
    Look,
    /// To write it all down.
    Take,
}

/// What processes share when their descriptors are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub options: &'a Options,
    /// The target stands still, so that what is put back at once was never changed for anybody.
    pub held: bool,
    /// All is wanted, and not only what a refusal may depend on.
    pub taking: bool,
    /// The UNIX sockets of the system.
    pub sockets: &'a UnixSockets,
    /// Its TCP and UDP sockets.
    pub inet: &'a InetSockets,
}

impl<'a> Context<'a> {
    /// Nothing is known of sockets yet.
    pub fn new(
        options: &'a Options,
        purpose: Purpose,
        (sockets, inet): (&'a UnixSockets, &'a InetSockets),
    ) -> Self {
        let (held, taking) = (purpose != Purpose::Preview, purpose == Purpose::Take);
        Self { options, held, taking, sockets, inet }
    }
}

/// A process whose descriptors are looked at.
pub(crate) struct Holder<'a> {
    pid: u32,
    context: Context<'a>,
    root: Root,
    pidfd: OwnedFd,
    all: Descriptors,
}

impl<'a> Holder<'a> {
    /// Opens what is read relative to it.
    pub fn open(pid: u32, context: Context<'a>) -> Result<Self> {
        let (pidfd, root, all) = (pidfd_open(pid as i32)?, Root::of(pid)?, Descriptors::of(pid)?);
        Ok(Self { pid, context, root, pidfd, all })
    }

    /// The numbers of its descriptors, ascending.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        Ok(self.all.numbers()?)
    }

    /// stat(2) of the file behind a descriptor. AUFS finds what was removed by no path of /proc, but through the file itself.
    fn stat(&self, fd: u32) -> Result<FileStat> {
        match self.all.stat(fd) {
            Err(error) if error.is_stale() => {
                let file = pidfd_getfd(self.pidfd.as_fd(), fd as i32)?;
                let fail = |e| floe_sys::Error::new(format!("read descriptor {fd}"), e);
                Ok(fstat(file).map_err(|e| fail(e).pid(self.pid))?)
            }
            other => Ok(other?),
        }
    }

    /// The refusal of a file that was renamed over on an AUFS, of which not even stat(2) tells anything.
    pub fn stale(&self, fd: u32) -> Result<Finding> {
        let link = self.all.link(fd)?;
        let object = format!("fd {fd} ({})", String::from_utf8_lossy(&link));
        let problem = "it was replaced, and its union file system does not open it any more";
        let finding = Finding::of(Pid(self.pid), object, "file.stale", problem);
        Ok(finding.hint("have the program open it again, or close it"))
    }

    /// Whether a descriptor was closed meanwhile.
    pub fn has_closed(&self, fd: u32) -> bool {
        self.all.link(fd).is_err()
    }
}

/// A descriptor as it is found in /proc; a duplicate is taken only by who needs one.
pub(crate) struct Descriptor<'a> {
    pub pid: u32,
    pub fd: u32,
    /// What /proc/PID/fd shows.
    pub link: Vec<u8>,
    pub stat: Inode,
    /// /proc/PID/fdinfo.
    pub info: Fdinfo,
    /// F_GETFL.
    pub flags: u32,
    pub cloexec: bool,
    pub pos: u64,
    pub context: Context<'a>,
    holder: &'a Holder<'a>,
    duplicate: OnceCell<OwnedFd>,
    name: OnceCell<Name>,
    socket: OnceCell<socket_kind::Kind>,
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
    /// Reads what /proc says of a descriptor.
    pub fn read(holder: &'a Holder<'a>, fd: u32) -> Result<Self> {
        let link = holder.all.link(fd)?;
        let info = holder.all.info(fd)?;
        let stat = match Inode::nameless(&link, info.ino)? {
            Some(stat) => stat,
            None => Inode::of(&holder.stat(fd)?),
        };
        Ok(Self {
            pid: holder.pid,
            fd,
            link,
            stat,
            flags: info.flags & !O_CLOEXEC,
            cloexec: info.flags & O_CLOEXEC != 0,
            pos: info.pos as u64,
            info,
            context: holder.context,
            holder,
            duplicate: OnceCell::new(),
            name: OnceCell::new(),
            socket: OnceCell::new(),
        })
    }

    /// stat(2), also of what has no name.
    pub fn stat_again(&self) -> Result<FileStat, Problem> {
        self.holder.all.stat(self.fd).map_err(Problem::Sys)
    }

    /// Whether another file is behind the number by now.
    pub fn has_changed(&self) -> bool {
        !self.holder.all.link(self.fd).is_ok_and(|link| link == self.link)
    }

    /// How people know it.
    pub fn object(&self) -> String {
        format!("fd {} ({})", self.fd, String::from_utf8_lossy(&self.link))
    }

    /// The root directory of the process that has it.
    pub fn root(&self) -> &Root {
        &self.holder.root
    }

    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.stat.dev, self.stat.ino)
    }

    /// Whether it is only a path (O_PATH of open(2)).
    pub fn is_path(&self) -> bool {
        self.flags & O_PATH != 0
    }

    /// Whether it is a kernel object of this name, such as `[eventfd]`, and not only a path to one (O_PATH).
    pub fn is_anonymous(&self, name: &str) -> bool {
        !self.is_path() && self.link.strip_prefix(b"anon_inode:") == Some(name.as_bytes())
    }

    /// A duplicate, which shares the description but not the table.
    pub fn duplicate(&self) -> Result<BorrowedFd<'_>, floe_sys::Error> {
        if self.duplicate.get().is_none() {
            let fd = pidfd_getfd(self.holder.pidfd.as_fd(), self.fd as i32)?;
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
    pub fn socket(&self) -> Option<socket_kind::Kind> {
        if !self.stat.is_socket() || self.is_path() {
            return None;
        }
        if let Some(kind) = self.socket.get() {
            return Some(*kind);
        }
        // What is written down is asked of the socket itself.
        let known = if self.context.taking { None } else { self.unix_state() };
        let kind = match known {
            Some(state) => {
                socket_kind::Kind { family: libc::AF_UNIX, kind: state.kind, protocol: 0 }
            }
            None => socket_kind::kind(self.duplicate().ok()?).ok()?,
        };
        Some(*self.socket.get_or_init(|| kind))
    }

    /// The state of a UNIX socket, where the list of the system has it.
    pub fn unix_state(&self) -> Option<UnixState> {
        self.context.sockets.find(self.stat.ino).ok().flatten()
    }

    /// The path that it was opened by, where there was one.
    pub fn name(&self) -> Option<&Name> {
        if !self.link.starts_with(b"/") {
            return None;
        }
        Some(self.name.get_or_init(|| {
            let (dev, ino) = self.inode();
            let (full, deleted) = self.holder.root.without_suffix(self.link.clone(), dev, ino);
            let (path, outside) = self.holder.root.below(full.clone());
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
        if !self.holder.root.leads_to(&name.full, dev, ino) {
            return Err(refuse("its path leads to another file by now"));
        }
        let mnt_id = Some(self.info.mnt_id);
        let (path, outside) = (Bytes(name.path.clone()), name.outside);
        Ok(FileRef { path, outside, dev, ino, mnt_id, deleted: false })
    }

    /// Why no kind claims it.
    pub fn unknown(&self) -> Problem {
        if self.is_path() {
            let what =
                "a descriptor that is only a path (O_PATH) of such a file cannot be captured";
            Problem::new("file.path", what)
        } else if self.stat.is_block_device() {
            Problem::new("file.block", "open block devices cannot be captured")
        } else if self.stat.is_socket() {
            Problem::new("file.socket", socket_kind::unknown(self.socket()))
        } else if self.name().is_some_and(|name| name.deleted) {
            Problem::new("file.removed", "it was removed, and is no regular file")
        } else {
            Problem::new("file.kind", "this kind of descriptor cannot be captured")
        }
    }
}
