//! UNIX sockets (unix(7)).

use crate::{Bytes, FileId, Link, Pid, Reference, Resource, SocketOption, ensure, sane};
use serde::{Deserialize, Serialize};

/// A UNIX socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnixSocket {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place its names are read.
    pub pid: Pid,
    /// Inode of the socket.
    pub ino: u64,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub sock_type: u32,
    /// Bound address as getsockname(2) gives it behind `sun_family`, empty for none.
    pub name: Bytes,
    /// Inode of the connected peer, which belongs to the tree; its own record stands in the stream too.
    pub peer: Option<u64>,
    /// Address that a datagram socket is connected to outside of the tree, behind `sun_family`; else empty.
    pub peer_name: Bytes,
    /// Owner, group and permissions of the file that it is bound to, where that has a name.
    pub node: Option<(u32, u32, u32)>,
    /// Names of that file in the directory of its address, where they are others than the address says.
    pub links: Vec<Bytes>,
    /// Listening, with this backlog.
    pub backlog: Option<u32>,
    /// Of a listener inodes of the sockets that have connected to it and wait for accept(2), oldest first. Nothing has been sent by
    /// them, and their own `peer` is 0.
    pub waiting: Vec<u64>,
    /// Shutdown state: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
    pub shutdown: u8,
    /// Socket options; of one that neither has a name nor is connected to one, those that differ from a new socket's.
    pub options: Vec<SocketOption>,
}

impl Resource for UnixSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        visit(Reference::Socket(self.pid, &mut self.name));
        visit(Reference::Socket(self.pid, &mut self.peer_name));
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure([1, 2, 5].contains(&self.sock_type), "it is of an unknown type")?;
        // 108 bytes, and a NUL that getsockname(2) may add.
        let short = self.name.0.len() <= 109 && self.peer_name.0.len() <= 109;
        ensure(short, "an address of it is too long")?;
        let one = self.peer.is_none() || self.peer_name.0.is_empty();
        ensure(one, "it is connected twice")?;
        ensure(self.backlog.is_none() || self.sock_type != 2, "datagram sockets do not listen")?;
        ensure(self.backlog.is_none() || self.peer.is_none(), "it listens and is connected")?;
        let listens = self.backlog.is_some() || self.waiting.is_empty();
        ensure(listens, "connections wait for it, and it does not listen")?;
        ensure(self.shutdown <= 3, "it is shut down in an unknown way")?;
        ensure(
            self.node.is_none_or(|node| node.2 <= 0o777),
            "its file has impossible permissions",
        )?;
        let named = self.links.iter().all(|link| sane::is_name(&link.0));
        ensure(named, "another name of its file is none")?;
        let has_file = self.node.is_some() && !matches!(self.name.0.first(), None | Some(0));
        ensure(self.links.is_empty() || has_file, "its file has names, and it has no file")?;
        sane::options(&self.options)
    }
}
