//! UDP sockets.

use crate::{
    descriptor_of::{Descriptor, Problem},
    inet,
    resource::OfFile,
};
use floe_records::{FileId, UdpSocket};

impl OfFile for UdpSocket {
    fn claims(seen: &Descriptor<'_>) -> bool {
        inet::is(seen, libc::SOCK_DGRAM, libc::IPPROTO_UDP)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(UdpSocket { file, socket: inet::udp(seen)? })
    }
}
