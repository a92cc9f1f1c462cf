//! Regular files with a name.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{FileId, Pid, Regular};

impl OfFile for Regular {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_file() && seen.is_named()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (pid, name) = (Pid(seen.pid), seen.file()?);
        Ok(Regular { file, pid, name, size: seen.stat.size })
    }
}
