//! UNIX sockets whose other ends are outside of the tree: what a socket must have that takes the place of one.

use crate::{
    Attached, Bytes, FileId, Link, Pid, Property, Reference, Resource, SocketOption, ensure, sane,
};
use serde::{Deserialize, Serialize};

/// Such a socket, beside the [`External`](crate::External) that it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideSocket {
    /// The open file description.
    pub file: FileId,
    /// A process that has it, in whose place names are read.
    pub pid: Pid,
    /// SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET.
    pub sock_type: u32,
    /// Address of its peer behind `sun_family`; empty where that has none.
    pub peer: Bytes,
    /// Shutdown state: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
    pub shutdown: u8,
    /// Options that differ from a new socket's, or may.
    pub options: Vec<SocketOption>,
}

impl OutsideSocket {
    /// Its peer for people: a path, or an abstract name behind `@`.
    pub fn peer_name(&self) -> Option<Bytes> {
        let name = self.peer.0.strip_suffix(b"\0").unwrap_or(&self.peer.0);
        match name.split_first()? {
            (0, name) => Some(Bytes([b"@", name].concat())),
            _ => Some(name.into()),
        }
    }
}

impl Resource for OutsideSocket {
    type Key = FileId;
    fn key(&self) -> FileId {
        self.file
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        visit(Reference::Socket(self.pid, &mut self.peer));
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        visit(Link::Process(self.pid));
    }

    fn check(&self) -> Result<(), String> {
        ensure([1, 2, 5].contains(&self.sock_type), "it is of an unknown type")?;
        // 108 bytes, and a NUL that getpeername(2) may add.
        ensure(self.peer.0.len() <= 109, "an address of it is too long")?;
        ensure(self.shutdown <= 3, "it is shut down in an unknown way")?;
        sane::options(&self.options)
    }
}

impl Property for OutsideSocket {
    fn attached(&self) -> Attached {
        Attached::Description(self.file)
    }
}
