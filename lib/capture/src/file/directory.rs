//! Directories with a name.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Directory, FileId, Pid};

impl OfFile for Directory {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_dir() && seen.is_named()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(Directory { file, pid: Pid(seen.pid), name: seen.file()? })
    }
}
