//! Sockets of IPv4 and IPv6 (tcp(7), udp(7)).

use crate::{Bytes, SocketOption, ensure, sane};
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
    /// The address is none of the machine: it was bound with IP_FREEBIND or IP_TRANSPARENT set.
    pub foreign: bool,
    /// Listening, with this backlog.
    pub backlog: Option<u32>,
    /// Shutdown state: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2. A TCP connection that has ended is shut in both directions.
    pub shutdown: u8,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

impl InetSocket {
    /// Whether a TCP socket is connected.
    pub fn is_connection(&self) -> bool {
        !self.peer.0.is_empty()
    }

    /// See [`Resource::check`](crate::Resource::check).
    pub(crate) fn check(&self) -> Result<(), String> {
        // Bytes of `struct sockaddr_in` and `struct sockaddr_in6`.
        let len = match self.family {
            2 => 16,
            10 => 28,
            _ => return Err("it is of an unknown family".to_owned()),
        };
        let known = |address: &Bytes| {
            let family = address.0.first_chunk().copied().map(u16::from_ne_bytes);
            address.0.is_empty()
                || address.0.len() == len && family.map(u32::from) == Some(self.family)
        };
        ensure(known(&self.name) && known(&self.peer), "an address of it is none of its family")?;
        ensure(self.shutdown <= 3, "it is shut down in an unknown way")?;
        ensure(self.backlog.is_none() || !self.name.0.is_empty(), "it listens and has no address")?;
        let both = self.backlog.is_some() && !self.peer.0.is_empty();
        ensure(!both, "it listens and is connected")?;
        sane::options(&self.options)
    }
}
