//! TCP sockets.

use crate::{
    descriptor_of::{Descriptor, Problem},
    inet,
    resource::OfFile,
};
use floe_records::{FileId, TcpSocket};

impl OfFile for TcpSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        inet::is(seen, libc::SOCK_STREAM, libc::IPPROTO_TCP)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(TcpSocket { file, socket: inet::tcp(seen)? })
    }
}
