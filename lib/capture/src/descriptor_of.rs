//! A descriptor of a process as it is looked at, and why one cannot be had.

use crate::{
    Error, Result,
    entry::{Entry, Holder, Name},
    inode::Inode,
    ipc_spaces::IpcSpaces,
    known::Told,
    namespace::space,
    net_spaces::{NetSpaces, Sockets},
    origin,
    other_names::{self, Lost},
    path::{self, Root},
    sock_diag::UnixState,
    socket_kind,
};
use floe_proc::Fdinfo;
use floe_records::{Bytes, FileRef, Finding, NsId, NsKind, Options, Pid};
use nix::fcntl::OFlag;
use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    sync::OnceLock,
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
    Take {
        /// When everything came to a stand: CLOCK_REALTIME, nanoseconds.
        stopped_ns: u64,
    },
}

/// What processes share when their descriptors are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub options: &'a Options,
    /// The target stands still, so that what is put back at once was never changed for anybody.
    pub held: bool,
    /// All is wanted, and not only what a refusal may depend on.
    pub taking: bool,
    /// When everything came to a stand, where that is known: CLOCK_REALTIME, nanoseconds.
    pub stopped_ns: Option<u64>,
    /// The sockets of the system.
    pub nets: &'a NetSpaces,
    /// Where message queues may be.
    pub ipcs: &'a IpcSpaces<'a>,
}

impl<'a> Context<'a> {
    /// Nothing is known of sockets yet.
    pub fn new(
        options: &'a Options,
        purpose: Purpose,
        (nets, ipcs): (&'a NetSpaces, &'a IpcSpaces<'a>),
    ) -> Self {
        let held = purpose != Purpose::Preview;
        let stopped_ns = match purpose {
            Purpose::Take { stopped_ns } => Some(stopped_ns),
            Purpose::Preview | Purpose::Look => None,
        };
        let taking = stopped_ns.is_some();
        Self { options, held, taking, stopped_ns, nets, ipcs }
    }
}

/// sock_diag(7) does not answer.
pub(crate) fn unasked(error: std::io::Error) -> floe_sys::Error {
    floe_sys::Error::new("ask sock_diag for sockets", error)
}

/// A descriptor as it is found in /proc; a duplicate is taken only by who needs one.
pub(crate) struct Descriptor<'a> {
    pub pid: u32,
    pub fd: u32,
    /// What /proc/PID/fd shows.
    pub link: &'a [u8],
    pub stat: Inode,
    /// /proc/PID/fdinfo.
    pub info: &'a Fdinfo,
    /// F_GETFL.
    pub flags: u32,
    pub cloexec: bool,
    pub pos: u64,
    pub context: Context<'a>,
    holder: &'a Holder,
    entry: &'a Entry,
    duplicate: OnceLock<OwnedFd>,
    socket: OnceLock<socket_kind::Kind>,
    net: OnceLock<u64>,
}

impl<'a> Descriptor<'a> {
    /// What was read of one.
    pub fn of(holder: &'a Holder, context: Context<'a>, entry: &'a Entry) -> Self {
        let info = &entry.info;
        Self {
            pid: holder.pid,
            fd: entry.fd,
            link: &entry.link,
            stat: entry.stat,
            flags: info.flags & !O_CLOEXEC,
            cloexec: info.flags & O_CLOEXEC != 0,
            pos: info.pos as u64,
            info,
            context,
            holder,
            entry,
            duplicate: OnceLock::new(),
            socket: OnceLock::new(),
            net: OnceLock::new(),
        }
    }

    /// The same, read again just now.
    pub fn info_now(&self) -> Result<Fdinfo, floe_sys::Error> {
        self.holder.info(self.fd)
    }

    /// Whether another file is behind the number by now.
    pub fn has_changed(&self) -> bool {
        self.holder.has_changed(self.entry)
    }

    /// How people know it.
    pub fn object(&self) -> String {
        if self.is_in_flight() {
            return format!("a descriptor on its way ({})", String::from_utf8_lossy(self.link));
        }
        format!("fd {} ({})", self.fd, String::from_utf8_lossy(self.link))
    }

    /// Whether it is a duplicate of ours, of what is on its way to the process.
    pub fn is_in_flight(&self) -> bool {
        self.holder.is_receiver()
    }

    /// The process in whose table the number is.
    pub fn table(&self) -> u32 {
        self.holder.table
    }

    /// What is known of its description.
    pub fn same(&self) -> Told {
        self.entry.same
    }

    /// Whether no process or signal was ever set for it (F_SETOWN, F_SETSIG, F_NOTIFY), as far as that is known.
    pub fn is_unowned(&self) -> bool {
        self.entry.unowned
    }

    /// The message that was read last, of a log of the kernel that `freeze` has found at its end.
    pub fn last_message(&self) -> Option<u64> {
        self.entry.last_message
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

    /// Whether it is a message queue, or a path to one.
    pub fn is_queue(&self) -> bool {
        // FILENT_SIZE of ipc/mqueue.c: the size of all of them.
        const SIZE: u64 = 80;
        self.stat.size == SIZE && self.holder.is_queue(self.fd)
    }

    /// A duplicate, which shares the description but not the table.
    pub fn duplicate(&self) -> Result<BorrowedFd<'_>, floe_sys::Error> {
        if self.duplicate.get().is_none() {
            let _ = self.duplicate.set(self.holder.duplicate(self.fd)?);
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
        let ino = self.stat.ino;
        let told = self.in_network(|all| all.unix.find(ino).map_err(unasked));
        told.ok().flatten()
    }

    /// The number of the network namespace of a socket, in a tree that has more than one.
    pub fn net(&self) -> Option<u64> {
        if !self.context.nets.several() {
            return None;
        }
        if let Some(known) = self.net.get() {
            return Some(*known);
        }
        let space = floe_sys::network_namespace(self.duplicate().ok()?).ok()?;
        let NsId(number) = space::number(space)?;
        Some(*self.net.get_or_init(|| number))
    }

    /// Asks about the sockets of the network namespace that a socket belongs to.
    pub fn in_network<T: Send, E: Send + From<floe_sys::Error>>(
        &self,
        ask: impl FnOnce(&Sockets) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        self.context.nets.sockets(self.net()).ask(ask)
    }

    /// The file, opened anew.
    pub fn open_again(&self, flags: OFlag) -> Result<OwnedFd, floe_sys::Error> {
        self.holder.open_again(self.fd, flags)
    }

    /// The path that it was opened by, where there was one.
    pub fn name(&self) -> Option<&Name> {
        self.entry.name.as_ref()
    }

    /// Whether it has a path that still leads to it.
    pub fn is_named(&self) -> bool {
        self.name().is_some_and(|name| !name.deleted)
    }

    /// The refusal of one that has lost its name and has another one, of which nothing is known yet: it is searched for.
    pub fn other_name(&self) -> Problem {
        let at = floe_proc::fd_path(self.table(), self.fd);
        let problem = other_names::problem(self.root(), Lost { at, file: self.inode() });
        Problem::Refused("file.removed", problem.to_owned(), other_names::LINK)
    }

    /// The file by its name, or by the last one that it had: what is no regular file can be made again.
    pub fn file_or_removed(&self) -> Result<FileRef, Problem> {
        let Some(name) = self.name().filter(|name| name.deleted) else { return self.file() };
        if path::of_a_process(self.link) {
            return self.file();
        }
        let refuse = |problem: &str| Err(Problem::new("file.removed", problem));
        if !self.stat.is_dir() && self.stat.nlink > 0 {
            return Err(self.other_name());
        }
        if self.is_in_flight() {
            return refuse("it was removed, and is on its way");
        }
        let ((dev, ino), mnt_id) = (self.inode(), Some(self.info.mnt_id));
        let (path, outside) = (Bytes(name.path.clone()), name.outside);
        Ok(FileRef { path, outside, dev, ino, mnt_id, deleted: true })
    }

    /// The file by its name, where that can be opened again.
    pub fn file(&self) -> Result<FileRef, Problem> {
        let refuse = |problem: &str| Problem::new("file.name", problem);
        let (dev, ino) = self.inode();
        let name = self.name().ok_or_else(|| refuse("it never had a name"))?;
        if path::of_a_process(self.link) {
            return Err(refuse("files of a process in /proc cannot be captured"));
        }
        if name.deleted {
            return Err(refuse("it was removed, and is no regular file"));
        }
        if !name.leads && !self.is_of_our_mounts(name) {
            return Err(refuse("its path leads to another file by now"));
        }
        let mnt_id = Some(self.info.mnt_id);
        let (path, outside) = (Bytes(name.path.clone()), name.outside);
        Ok(FileRef { path, outside, dev, ino, mnt_id, deleted: false })
    }

    /// Whether the process is in another mount namespace than we are, and its path leads to the file in ours: there it was
    /// opened, and there restore finds it.
    fn is_of_our_mounts(&self, name: &Name) -> bool {
        let space = |pid| floe_proc::namespace(pid, "mnt").ok().flatten();
        let ours = origin::namespace(NsKind::Mnt).ok().flatten();
        let elsewhere = space(self.pid).is_some_and(|theirs| Some(theirs) != ours);
        let found = std::fs::symlink_metadata(OsStr::from_bytes(name.full()));
        elsewhere && found.is_ok_and(|found| (found.dev(), found.ino()) == self.inode())
    }

    /// Its name, of an object of bpf(2).
    fn of_bpf(&self) -> Option<&'a str> {
        let name = std::str::from_utf8(self.link.strip_prefix(b"anon_inode:")?).ok()?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let known = ["bpf-prog", "bpf_link", "bpf-link", "bpf_iter", "btf", "bpf-token"];
        known.into_iter().find(|known| *known == name)
    }

    /// Why no kind claims it.
    pub fn unknown(&self) -> Problem {
        if self.is_path() {
            let what =
                "a descriptor that is only a path (O_PATH) of such a file cannot be captured";
            Problem::new("file.path", what)
        } else if self.is_anonymous("[userfaultfd]") {
            Problem::new("file.userfaultfd", "whose memory it watches is not shown")
        } else if let Some(object) = self.of_bpf() {
            let problem = format!("this object of BPF ({object}) cannot be captured");
            Problem::new("file.bpf", problem)
        } else if self.stat.is_socket() {
            Problem::new("file.socket", socket_kind::unknown(self.socket()))
        } else if self.name().is_some_and(|name| name.deleted) {
            Problem::new("file.removed", "it was removed, and is no regular file")
        } else {
            Problem::new("file.kind", "this kind of descriptor cannot be captured")
        }
    }
}
