//! Sockets of IPv4 and IPv6 (tcp(7), udp(7)).

use crate::{Bytes, SocketOption};
use serde::{Deserialize, Serialize};

/// An IPv4 or IPv6 socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InetSocket {
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
