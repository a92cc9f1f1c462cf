//! Sockets of Multipath TCP.

use crate::{
    descriptor_of::{Descriptor, Problem},
    inet,
    resource::OfFile,
};
use floe_records::{FileId, MptcpSocket};

impl OfFile for MptcpSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        inet::is(seen, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(MptcpSocket { file, socket: inet::mptcp(seen)? })
    }
}
