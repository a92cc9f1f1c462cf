//! Descriptions of files without a name: memfds, and regular files that were removed.

use crate::{
    descriptor_of::{Descriptor, Problem},
    memory, path,
    resource::OfFile,
};
use floe_records::{FileId, NamelessFile, Object, ObjectId};
use floe_sys::Result;
use std::fs::File;

impl OfFile for NamelessFile {
    fn claims(seen: &Descriptor<'_>) -> bool {
        let of_process = path::of_a_process(seen.link);
        seen.stat.is_file() && !of_process && seen.name().is_some_and(|name| name.deleted)
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (dev, ino) = seen.inode();
        // A file of memfd_secret(2) has a link from the start, and no name.
        if is_secret(seen) {
            if !is_mapped(seen.pid, ino) {
                let what = "what memfd_secret holds can be read only by who maps it";
                return Err(Problem::new("file.secret", what));
            }
        } else if seen.stat.nlink > 0 {
            return Err(seen.other_name());
        }
        Ok(NamelessFile { file, object: ObjectId { dev, ino } })
    }
}

fn is_secret(seen: &Descriptor<'_>) -> bool {
    seen.name().is_some_and(|name| name.full() == memory::SECRET)
}

/// Whether a process maps such a file.
fn is_mapped(pid: u32, ino: u64) -> bool {
    let all = floe_proc::mappings(pid).unwrap_or_default();
    all.iter().any(|map| map.name.starts_with(memory::SECRET) && map.ino == ino)
}

/// The file itself. The descriptor may be open for writing only, so it is opened again.
pub(crate) fn object(seen: &Descriptor<'_>) -> Result<(Object, File)> {
    let path = floe_proc::fd_path(seen.table(), seen.fd);
    let file = memory::open(&path, is_secret(seen)).map_err(|e| e.pid(seen.pid))?;
    let name = seen.name().map_or(&[][..], |name| name.full());
    Ok((memory::object(name, &file)?, file))
}
