//! Descriptors and the open file descriptions behind them.
//!
//! Sharing is kept: two descriptors that came from dup(2) or fork(2) name one [`FileId`].

use crate::{
    Bytes, EpollWatch, FdNum, FileId, FileRef, InetSocket, ObjectId, Pid, Timerfd, UnixSocket,
    record,
};
use serde::{Deserialize, Serialize};

/// Descriptor table of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FdTable {
    /// Thread group.
    pub pid: Pid,
    /// By ascending number; at most 65,536 a record, long tables come as several.
    pub fds: Vec<Fd>,
}
record!(FdTable, 50, 1);

/// One descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fd {
    /// Number.
    pub fd: FdNum,
    /// What it names.
    pub file: FileId,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

/// An open file description. Stands before every [`FdTable`] that names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenFile {
    /// Its key.
    pub id: FileId,
    /// A process that has it, and whose root its paths start from.
    pub pid: Pid,
    /// F_GETFL: access mode and status flags.
    pub flags: u32,
    /// Offset, bytes.
    pub pos: u64,
    /// F_GETOWN_EX type and id, F_GETSIG; `None` where no owner is set.
    pub owner: Option<(i32, u32, i32)>,
    /// What it is.
    pub what: FileKind,
}
record!(OpenFile, 49, 1);

/// What an open file description names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file with a name; its size when it was captured.
    Regular(FileRef, u64),
    /// A directory.
    Directory(FileRef),
    /// A character device such as /dev/null, with its `st_rdev`.
    Device(FileRef, u64),
    /// A named pipe in the file system; contents in [`crate::PipeData`] when nobody outside holds it.
    Fifo(FileRef),
    /// A memfd or deleted file; see [`crate::Object`].
    Object(ObjectId),
    /// An end of this pipe, which belongs to the tree; contents in [`crate::PipeData`].
    Pipe(ObjectId),
    /// eventfd(2): count, EFD_SEMAPHORE.
    Eventfd(u64, bool),
    /// timerfd_create(2).
    Timerfd(Timerfd),
    /// signalfd(2): mask.
    Signalfd(u64),
    /// epoll(7): what is watched.
    Epoll(Vec<EpollWatch>),
    /// A UNIX socket.
    Unix(UnixSocket),
    /// A TCP socket that listens, or one that is neither bound nor connected.
    Tcp(InetSocket),
    /// A UDP socket.
    Udp(InetSocket),
    /// Belongs outside the tree: a terminal, a pipe or socket whose other end is elsewhere. Restore takes it
    /// from its own standard streams or from `--inherit`. The text tells people what it was.
    External(Bytes),
}
