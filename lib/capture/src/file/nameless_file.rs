//! Descriptions of files without a name: memfds, and regular files that were removed.

use crate::{
    descriptor_of::{Descriptor, Problem},
    memory,
    resource::OfFile,
};
use floe_records::{FileId, NamelessFile, Object, ObjectId};
use floe_sys::{Result, open_unnoticed};
use std::fs::File;

impl OfFile for NamelessFile {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_file() && seen.name().is_some_and(|name| name.deleted)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        if seen.stat.nlink > 0 {
            let what = "it was removed, and has another name, which is not known";
            return Err(Problem::new("file.removed", what));
        }
        let (dev, ino) = seen.inode();
        Ok(NamelessFile { file, object: ObjectId { dev, ino } })
    }
}

/// The file itself. The descriptor may be open for writing only, so it is opened again.
pub(crate) fn object(seen: &Descriptor<'_>) -> Result<(Object, File)> {
    let path = floe_proc::fd_path(seen.pid, seen.fd);
    let file = open_unnoticed(&path).map_err(|e| e.pid(seen.pid))?;
    let name = seen.name().map_or(&[][..], |name| name.full());
    Ok((memory::object(name, &file)?, file))
}
