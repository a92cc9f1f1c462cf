//! Who gets SIGIO.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfDescriptor,
};
use floe_records::{FileId, Owner};
use floe_sys::{owner_ex, owner_signal, owner_uids};

impl OfDescriptor for Owner {
    fn take(seen: &Descriptor<'_>, file: FileId, first: bool) -> Result<Vec<Self>, Problem> {
        // No refusal depends on it, and asking takes a duplicate.
        if !first || seen.is_path() || !seen.context.taking || seen.is_unowned() {
            return Ok(Vec::new());
        }
        let fd = seen.duplicate()?;
        let (kind, id) = owner_ex(fd)?;
        let signal = owner_signal(fd)?;
        let uids = if id == 0 { None } else { owner_uids(fd)? };
        let owner = Owner { file, kind, id: id as u32, signal, uids };
        Ok(if id != 0 || signal != 0 { vec![owner] } else { Vec::new() })
    }
}
