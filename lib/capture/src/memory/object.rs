//! Files without a name that a VMA maps: what they are and what they hold.

use crate::{
    inode,
    layout::segments_of,
    memory::{SECRET, is_secret},
    own_spaces,
};
use floe_records::{
    FileRef, HugePages, NsKind, Object, ObjectId, ObjectKind, PAGE_SIZE, Pid, Segment, Vma,
    is_of_segments,
};
use floe_sys::{Error, Result, open_unnoticed};
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek};
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Flags among the permissions of a segment, of include/linux/shm.h.
const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;

/// Opens and describes the object behind a VMA of a held process, through /proc/PID/map_files.
pub fn describe(pid: u32, vma: &Vma) -> Result<(Object, File)> {
    let path = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    let file = open(&path, is_secret(vma)).map_err(|e| e.pid(pid))?;
    let object = match vma.file.as_ref() {
        Some(named) if is_of_segments(named.dev) => segment(pid, named, &file),
        Some(named) => object(&named.path.0, &file),
        None => object(&[], &file),
    };
    let object = object.map_err(|e| e.pid(pid))?;
    Ok((object, file))
}

/// Opens a file by a link in /proc. One of memfd_secret(2) cannot be opened but to be looked at.
pub(crate) fn open(path: &Path, secret: bool) -> Result<File> {
    if !secret {
        return open_unnoticed(path);
    }
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path);
    opened.map_err(|e| Error::new(format!("open {}", path.display()), e))
}

/// Describes and opens the segments of the IPC namespace of a process that nobody has attached. That we attach them for a moment shows in who was
/// the last to do so, and when.
///
/// # Errors
/// Those of shmat(2).
pub fn lone_segments(pid: u32) -> crate::Result<Vec<(Object, File)>> {
    let dev = segments_of(pid);
    own_spaces::within(pid, NsKind::Ipc, || Ok(lone(dev)?))
}

fn lone(dev: u64) -> Result<Vec<(Object, File)>> {
    let mut all = Vec::new();
    for found in floe_proc::segments()?.into_iter().filter(|found| found.attached == 0) {
        let open = |page| floe_sys::open_segment(found.id, found.size, page);
        // Only its end tells of which pages it is.
        let file =
            File::from(open(PAGE_SIZE).or_else(|_| open(2 << 20)).or_else(|_| open(1 << 30))?);
        all.push((segment_of(dev, &found, &[], &file)?, file));
    }
    Ok(all)
}

/// Describes a segment of System V shared memory, of the IPC namespace of a process.
fn segment(pid: u32, named: &FileRef, file: &File) -> Result<Object> {
    let id = named.ino;
    let doing = || format!("describe the segment {id}");
    let all = own_spaces::within(pid, NsKind::Ipc, || Ok(floe_proc::segments()?));
    let all = all.map_err(|e| Error::because(doing(), e.to_string()))?;
    let found = all.into_iter().find(|segment| u64::from(segment.id) == id);
    let gone = || Error::because(doing(), "there is none");
    segment_of(named.dev, &found.ok_or_else(gone)?, &named.path.0, file)
}

fn segment_of(dev: u64, found: &floe_proc::Segment, name: &[u8], file: &File) -> Result<Object> {
    let removed = found.mode & SHM_DEST != 0;
    Ok(Object {
        id: ObjectId { dev, ino: found.id.into() },
        size: found.size,
        mode: found.mode & 0o777,
        uid: found.owner[0],
        gid: found.owner[1],
        times: [(0, 0); 2],
        attributes: Vec::new(),
        huge: huge(file)?,
        kind: ObjectKind::Segment(Segment {
            key: if removed { key_in(name).unwrap_or(0) } else { found.key },
            creator: found.creator,
            pids: found.pids.map(|pid| Pid(pid as u32)),
            removed,
            locked: found.mode & SHM_LOCKED != 0,
        }),
    })
}

/// The key that a segment was made with, which its name still tells when it is marked for removal: `/SYSV0001e240`.
fn key_in(name: &[u8]) -> Option<i32> {
    let digits = std::str::from_utf8(name.strip_prefix(b"/SYSV")?).ok()?;
    u32::from_str_radix(digits, 16).ok().map(|key| key as i32)
}

/// Describes a file without a name by what its name was.
pub(crate) fn object(name: &[u8], file: &File) -> Result<Object> {
    let stat = file.metadata().map_err(|e| Error::new("read a nameless file", e))?;
    let kind = if name == SECRET {
        ObjectKind::Secret
    } else if name == b"/dev/zero" {
        ObjectKind::SharedAnon
    } else if let Some(name) = name.strip_prefix(b"/memfd:") {
        ObjectKind::Memfd(name.into(), floe_sys::seals(file.as_fd())? as u32)
    } else {
        ObjectKind::Deleted(name.into())
    };
    let attributes = match kind {
        ObjectKind::SharedAnon | ObjectKind::Secret => Vec::new(),
        _ => inode::attributes(file)?,
    };
    Ok(Object {
        id: ObjectId { dev: stat.dev(), ino: stat.ino() },
        kind,
        size: stat.size(),
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        times: inode::times(&stat),
        huge: huge(file)?,
        attributes,
    })
}

/// Whether a file is of hugetlbfs, of which it has whole pages.
fn huge(file: &File) -> Result<Option<HugePages>> {
    let fail = |e: std::io::Error| Error::new("read a nameless file", e);
    let about = fstatfs(file).map_err(|e| fail(e.into()))?;
    if about.filesystem_type() != HUGETLBFS_MAGIC {
        return Ok(None);
    }
    let (size, blocks) = (about.block_size() as u64, file.metadata().map_err(fail)?.blocks());
    Ok(Some(HugePages { size, present: blocks * 512 / size.max(1) }))
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
