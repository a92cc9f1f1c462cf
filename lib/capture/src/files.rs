//! Descriptor tables and the open file descriptions behind them, of a held tree.
//!
//! Nothing is consumed: contents of pipes are copied by tee(2), everything else comes from /proc/PID/fdinfo and
//! from duplicates taken by pidfd_getfd(2), which share the description but not the table.

mod describe;
mod epoll;
mod eventfd;
mod fdinfo;
mod inet;
mod locks;
mod mapped;
mod pipes;
mod signalfd;
mod sockets;
mod table;
mod terminal;
mod timerfd;
mod unix;

pub(crate) use describe::refused;
pub(crate) use locks::locks;
pub use mapped::mapped_files;
pub use pipes::{in_packets, queued};
pub use sockets::SocketRules;
pub(crate) use sockets::socket;
pub use table::{Captured, capture};
pub use unix::socket_queue;
