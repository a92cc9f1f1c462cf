//! A netlink socket (netlink(7)).

use crate::{FileId, Resource, SocketOption, ensure, sane};
use serde::{Deserialize, Serialize};

/// A netlink socket (netlink(7)). What was queued in it is lost: nobody but the kernel can send it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetlinkSocket {
    /// The open file description.
    pub file: FileId,
    /// SOCK_RAW or SOCK_DGRAM.
    pub sock_type: u32,
    /// Family, such as NETLINK_ROUTE.
    pub protocol: u32,
    /// Its number (`nl_pid`); 0 where it has none yet.
    pub port: u32,
    /// Number and groups that it is connected to.
    pub peer: Option<(u32, u32)>,
    /// Groups whose messages it gets, by ascending number, from 1.
    pub groups: Vec<u32>,
    /// Options.
    pub options: Vec<SocketOption>,
}

/// Groups that a family may have: those of NETLINK_GENERIC get theirs one after the other.
const MOST_GROUPS: u32 = 1 << 16;

impl Resource for NetlinkSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn check(&self) -> Result<(), String> {
        ensure([2, 3].contains(&self.sock_type), "it is of an unknown type")?;
        ensure(self.protocol < 32, "it is of an unknown family")?;
        let ordered = sane::ascending(self.groups.iter());
        let known = self.groups.iter().all(|group| (1..=MOST_GROUPS).contains(group));
        ensure(ordered && known, "its groups are in disorder")?;
        ensure(self.peer.is_none() || self.port != 0, "it is connected and has no number")?;
        sane::options(&self.options)
    }
}
