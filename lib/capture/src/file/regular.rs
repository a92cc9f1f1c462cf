//! Regular files with a name.

use crate::{
    descriptor_of::{Descriptor, Problem},
    resource::OfFile,
};
use floe_proc::{Lock, LockKind};
use floe_records::{FileId, Pid, Regular, TAIL};
use floe_sys::{Error, FileSystem, Result, file_system, read_before};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
};
use xxhash_rust::xxh3::xxh3_64;

impl OfFile for Regular {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_file() && seen.is_named()
    }

    fn take(seen: &Descriptor<'_>, file: FileId) -> Result<Self, Problem> {
        let (pid, name) = (Pid(seen.pid), seen.file()?);
        let tail = if seen.context.taking && !seen.is_path() { tail(seen)? } else { None };
        let (size, mtime_ns, ctime_ns) = (seen.stat.size, seen.stat.mtime_ns, seen.stat.ctime_ns);
        Ok(Regular { file, pid, name, size, mtime_ns, ctime_ns, tail })
    }
}

/// The checksum of the end of a file that can be read without asking a process, which may be one that stands still. The
/// descriptor may be open for writing only, so it is opened again, without a trace in the time of its last access.
fn tail(seen: &Descriptor<'_>) -> Result<Option<u64>> {
    // To open it would break a lease of the process; where one is, nobody else has the file open.
    let lease = |lock: &Lock| matches!(lock.kind, LockKind::Lease(..));
    let locks = seen.info.locks();
    if locks.is_ok_and(|locks| locks.iter().any(lease)) {
        return Ok(None);
    }
    let path = floe_proc::fd_path(seen.pid, seen.fd);
    let only = |flags| OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let fail = |e| Error::new(format!("open {}", path.display()), e).pid(seen.pid);
    let place = only(libc::O_PATH).map_err(fail)?;
    if matches!(file_system(&place)?, FileSystem::Fuse | FileSystem::Kernel) {
        return Ok(None);
    }
    let file = match only(libc::O_NOATIME | libc::O_NONBLOCK) {
        // Another's file: its owner alone may leave no trace.
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => only(libc::O_NONBLOCK),
        other => other,
    };
    match file.map_err(fail).and_then(|file: File| read_before(&file, seen.stat.size, TAIL)) {
        Ok(bytes) => Ok(Some(xxh3_64(&bytes))),
        // A server may keep its files from root, somebody else may cut one off or have a lease on it: then growth is not known.
        Err(_) => Ok(None),
    }
}
