//! Files without a name that a VMA maps: what they are and what they hold.

use floe_records::{Bytes, Object, ObjectId, ObjectKind, PAGE_SIZE, Vma};
use floe_sys::{Error, Result};
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Opens and describes the object behind a VMA of a held process, through /proc/PID/map_files.
pub fn describe(pid: u32, vma: &Vma) -> Result<(Object, File)> {
    let path = format!("/proc/{pid}/map_files/{:x}-{:x}", vma.start.0, vma.end.0);
    let fail = |e| Error::new(format!("open {path}"), e).pid(pid);
    let file = File::open(&path).map_err(fail)?;
    let name = vma.file.as_ref().map_or(&[][..], |file| &file.path.0);
    let object = object(name, &file).map_err(|e| e.pid(pid))?;
    Ok((object, file))
}

/// Describes a file without a name by what its name was.
pub(crate) fn object(name: &[u8], file: &File) -> Result<Object> {
    let stat = file.metadata().map_err(|e| Error::new("read a nameless file", e))?;
    let kind = if name == b"/dev/zero" {
        ObjectKind::SharedAnon
    } else if let Some(name) = name.strip_prefix(b"/memfd:") {
        ObjectKind::Memfd(name.into(), floe_sys::seals(file.as_fd())? as u32)
    } else {
        ObjectKind::Deleted(name.into())
    };
    let attributes = match kind {
        ObjectKind::SharedAnon => Vec::new(),
        _ => floe_sys::attributes(file.as_fd())?,
    };
    Ok(Object {
        id: ObjectId { dev: stat.dev(), ino: stat.ino() },
        kind,
        size: stat.size(),
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        times: [(stat.atime(), stat.atime_nsec() as u32), (stat.mtime(), stat.mtime_nsec() as u32)],
        attributes: attributes.into_iter().map(|(n, v)| (Bytes(n), Bytes(v))).collect(),
    })
}

/// Pages of a file that hold data (SEEK_DATA, SEEK_HOLE of lseek(2)), ascending; the last ends with the file.
pub fn contents(file: &File, size: u64) -> Result<Vec<Range<u64>>> {
    let seek = |from: u64, whence| match lseek(file, from as i64, whence) {
        Ok(at) => Ok(Some(at as u64)),
        Err(nix::Error::ENXIO) => Ok(None),
        Err(e) => Err(Error::new("look for data in a nameless file", e)),
    };
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < size {
        let Some(start) = seek(at, Whence::SeekData)? else { break };
        let end = seek(start, Whence::SeekHole)?.unwrap_or(size).min(size);
        if end <= start {
            break;
        }
        // Blocks of a file system may be smaller than pages.
        let (start, end) = (start - start % PAGE_SIZE, end.next_multiple_of(PAGE_SIZE).min(size));
        match runs.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => runs.push(start..end),
        }
        at = end;
    }
    Ok(runs)
}
