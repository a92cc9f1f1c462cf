//! Sockets whose other ends are outside of the tree are known as such when all descriptors are: `file/unix.rs` notes what they were.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_records::{FileId, OutsideSocket};

impl OfDescriptor for OutsideSocket {
    fn take(_: &Descriptor<'_>, _: FileId, _: bool) -> Result<Vec<Self>, Problem> {
        Ok(Vec::new())
    }
}
