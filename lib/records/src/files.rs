//! Descriptors and the open file descriptions behind them.
//!
//! Sharing is kept: two descriptors that came from dup(2) or fork(2) name one [`FileId`].

use crate::{Bytes, FdNum, FileId, FileRef, ObjectId, Pid, record};
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
    /// A named pipe in the file system.
    Fifo(FileRef),
    /// A memfd or deleted file; see [`crate::Object`].
    Object(ObjectId),
    /// An end of the pipe with this inode; both ends in the tree, contents in [`PipeData`].
    Pipe(u64),
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
    Tcp(TcpSocket),
    /// A UDP socket.
    Udp(TcpSocket),
    /// Belongs outside the tree: a terminal, a pipe or socket whose other end is elsewhere. Restore takes it
    /// from its own standard streams or from `--inherit`. The text tells people what it was.
    External(Bytes),
}

/// Contents of a pipe; bulk of exactly `len` bytes follows when `len` is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipeData {
    /// Inode of the pipe.
    pub pipe: u64,
    /// F_GETPIPE_SZ, bytes.
    pub capacity: u32,
    /// Bytes queued, at most 1 MiB.
    pub len: u32,
}
record!(PipeData, 51, 1);

/// State of a timerfd.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timerfd {
    /// Clock id.
    pub clock: i32,
    /// TFD_TIMER_ flags of timerfd_settime(2).
    pub settime_flags: u32,
    /// Expirations not yet read.
    pub ticks: u64,
    /// Nanoseconds left, 0 for unarmed.
    pub left_ns: u64,
    /// Nanoseconds, 0 for one-shot.
    pub interval_ns: u64,
}

/// One watch of an epoll instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpollWatch {
    /// Number under which the file was added.
    pub fd: FdNum,
    /// The file.
    pub file: FileId,
    /// EPOLL events.
    pub events: u32,
    /// `epoll_data`.
    pub data: u64,
}

/// A UNIX socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnixSocket {
    /// Inode of the socket.
    pub ino: u64,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub sock_type: u32,
    /// Bound address as getsockname(2) gives it behind `sun_family`, empty for none.
    pub name: Bytes,
    /// Inode of the connected peer.
    pub peer: Option<u64>,
    /// Listening, with this backlog.
    pub backlog: Option<u32>,
    /// Shutdown state: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
    pub shutdown: u8,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

/// Queued data of one socket, oldest first; bulk of all messages together follows when their sum is not 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketQueue {
    /// Inode of the socket that would receive the data.
    pub ino: u64,
    /// Lengths of the messages; one entry for a stream.
    pub messages: Vec<u32>,
}
record!(SocketQueue, 52, 1);

/// An IPv4 or IPv6 socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpSocket {
    /// Inode of the socket.
    pub ino: u64,
    /// AF_INET or AF_INET6.
    pub family: u32,
    /// `struct sockaddr` of getsockname(2), empty when unbound.
    pub name: Bytes,
    /// `struct sockaddr` of getpeername(2), empty when unconnected.
    pub peer: Bytes,
    /// Listening, with this backlog.
    pub backlog: Option<u32>,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

/// A socket option as getsockopt(2) gives it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketOption {
    /// Level, for example SOL_SOCKET.
    pub level: i32,
    /// Option.
    pub name: i32,
    /// Value.
    pub value: Bytes,
}
