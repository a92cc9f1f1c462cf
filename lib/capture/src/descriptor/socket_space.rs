//! Network namespaces of sockets, in trees that have more than one.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_records::{FileId, NsId, SocketSpace};

impl OfDescriptor for SocketSpace {
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        if !first || !seen.stat.is_socket() || seen.is_path() {
            return Ok(Vec::new());
        }
        // What is in none of them is the outside's.
        let known = seen.net().filter(|number| seen.context.nets.has(*number));
        Ok(known.map(|number| SocketSpace { file, namespace: NsId(number) }).into_iter().collect())
    }
}
