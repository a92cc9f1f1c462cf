//! Descriptors that are only a path of a device, a named pipe, a symbolic link, or the file of a socket.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_records::{FileId, Pid, SpecialPath};

impl OfFile for SpecialPath {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let others = seen.stat.is_file() || seen.stat.is_dir();
        seen.is_path() && !others && seen.name().is_some()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let name = seen.file_or_removed()?;
        let kind = seen.stat.mode & libc::S_IFMT;
        Ok(SpecialPath { file, pid: Pid(seen.pid), name, kind, rdev: seen.stat.rdev })
    }
}
