//! Named pipes.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{Fifo, FileId, Pid};

impl OfFile for Fifo {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_fifo() && seen.name().is_some() && !seen.is_path()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        Ok(Fifo { file, pid: Pid(seen.pid), name: seen.file_or_removed()? })
    }
}
