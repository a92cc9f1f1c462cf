//! Directories with a name.

use crate::{
    descriptor_of::{Descriptor, Problem},
    path,
    resource::OfFile,
};
use floe_records::{Directory, FileId, Pid};
use floe_sys::owner_ex;

impl OfFile for Directory {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_dir() && seen.name().is_some() && !path::of_a_process(seen.link)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(Directory { file, pid: Pid(seen.pid), name: seen.file_or_removed()? })
    }
}

/// Whether a directory may notify a process of changes (F_NOTIFY of fcntl(2)), which the kernel does not show: that makes the process
/// the owner of the description, and nothing else does so in earnest.
pub(crate) fn may_notify(seen: &Descriptor<'_>) -> floe_sys::Result<bool> {
    let may = seen.stat.is_dir() && !seen.is_path() && !seen.is_unowned();
    Ok(may && owner_ex(seen.duplicate()?)?.1 != 0)
}
