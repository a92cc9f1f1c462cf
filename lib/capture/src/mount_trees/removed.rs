//! What mounts show that has no name any more, and whether a file system has any file.

use super::{
    Space,
    files::{link, open_copy},
};
use crate::Result;
use floe_mounts::Mount;
use floe_records::{NsId, RemovedMount};
use floe_sys::{Error, open_unnoticed};
use nix::sys::stat::{SFlag, fstat};
use std::{fs::File, io::Read};

/// Those of a mount namespace.
///
/// # Errors
/// Those of reading them.
pub fn removed_mounts(id: NsId, space: &Space) -> Result<Vec<RemovedMount>> {
    let mut all = Vec::new();
    for mount in space.mounts.iter().filter(|mount| is_removed(mount)) {
        all.extend(removed(space, mount)?.map(|it| RemovedMount { space: id, ..it }));
    }
    Ok(all)
}

/// Whether what a mount shows was removed.
pub(super) fn is_removed(mount: &Mount) -> bool {
    mount.root.ends_with(b"//deleted")
}

/// A regular file with a short content, or a FIFO; `None` for what is something else or cannot be reached.
pub(super) fn removed(space: &Space, mount: &Mount) -> Result<Option<RemovedMount>> {
    let top = open_copy(space, mount)?;
    let fail = |e: std::io::Error| Error::new("read what was removed", e);
    let stat = fstat(&top).map_err(|e| fail(e.into()))?;
    let mut content = Vec::new();
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG if stat.st_size as u64 <= RemovedMount::LONGEST as u64 => {
            let file: File = open_unnoticed(&link(&top))?;
            let most = RemovedMount::LONGEST as u64 + 1;
            file.take(most).read_to_end(&mut content).map_err(fail)?;
            if content.len() > RemovedMount::LONGEST {
                return Ok(None);
            }
        }
        SFlag::S_IFIFO => {}
        _ => return Ok(None),
    }
    let owner = (stat.st_uid, stat.st_gid);
    let (space, mount, ino) = (NsId(0), mount.id, stat.st_ino);
    Ok(Some(RemovedMount { space, mount, ino, mode: stat.st_mode, owner, content: content.into() }))
}

/// Whether nothing is in the directory that a mount shows.
pub(super) fn is_empty(space: &Space, mount: &Mount) -> bool {
    let Ok(top) = open_copy(space, mount) else { return false };
    let entries = std::fs::read_dir(link(&top));
    entries.is_ok_and(|mut entries| entries.next().is_none())
}
