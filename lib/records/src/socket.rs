//! What all sockets have (socket(7)).

use crate::Bytes;
use serde::{Deserialize, Serialize};

/// A socket option as getsockopt(2) gives it. Of a classic filter ([`FILTER`](SocketOption::FILTER)) the value is its instructions, of
/// a multicast group ([`GROUP`](SocketOption::GROUP)) a `struct group_filter`; there is one for each group.
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

impl SocketOption {
    /// SO_ATTACH_FILTER of SOL_SOCKET.
    pub const FILTER: i32 = 26;
    /// SO_LOCK_FILTER of SOL_SOCKET.
    pub const FILTER_LOCK: i32 = 44;
    /// SO_PEERCRED of SOL_SOCKET, of UNIX sockets: process, user and group of who made the peer, or the listener that it is.
    pub const PEER: i32 = 17;
    /// SO_PEERGROUPS of SOL_SOCKET: its supplementary groups.
    pub const PEER_GROUPS: i32 = 59;
    /// MCAST_MSFILTER of IPPROTO_IP and IPPROTO_IPV6.
    pub const GROUP: i32 = 48;

    /// Whether it is a classic filter, or locks one.
    pub fn is_filter(&self) -> bool {
        self.level == SOCKET && [Self::FILTER, Self::FILTER_LOCK].contains(&self.name)
    }

    /// Whether it says who made a UNIX socket: it cannot be set, and comes of a call that is made by the same.
    pub fn is_caller(&self) -> bool {
        self.level == SOCKET && [Self::PEER, Self::PEER_GROUPS].contains(&self.name)
    }

    /// Whether it is a membership in a multicast group.
    pub fn is_group(&self) -> bool {
        [IP, IP6].contains(&self.level) && self.name == Self::GROUP
    }

    /// Whether its value has a length that it may have.
    pub(crate) fn is_sane(&self) -> bool {
        let len = self.value.0.len();
        match self.is_group() {
            // Group, interface and mode, then addresses of 128 bytes each.
            true => {
                len >= 144 && (len - 144).is_multiple_of(128) && len <= 144 + 128 * MOST_SOURCES
            }
            // Up to BPF_MAXINSNS instructions of eight bytes.
            false if self.is_filter() && self.name == Self::FILTER => {
                len > 0 && len.is_multiple_of(8) && len / 8 <= 4096
            }
            // Up to NGROUPS_MAX groups.
            false if self.is_caller() => len.is_multiple_of(4) && len <= 65_536 * 4,
            false => len <= 256,
        }
    }
}

const SOCKET: i32 = 1;
const IP: i32 = 0;
const IP6: i32 = 41;
/// Sources of a group that anybody may want: the kernel lets a socket have ten, if nobody says otherwise.
const MOST_SOURCES: usize = 4096;
