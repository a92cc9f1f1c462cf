//! Regular files with a name.

use crate::{
    descriptor_of::{Descriptor, Problem},
    path,
    resource::OfFile,
};
use floe_proc::{Lock, LockKind};
use floe_records::{FileId, Pid, Regular, TAIL};
use floe_sys::{FileSystem, Result, file_system, read_before, unnoticed};
use nix::fcntl::OFlag;
use std::fs::File;
use twox_hash::XxHash3_64;

impl OfFile for Regular {
    fn claims(seen: &Descriptor<'_>) -> bool {
        seen.stat.is_file() && seen.is_named() && !path::of_a_process(seen.link)
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
    if matches!(file_system(seen.duplicate()?)?, FileSystem::Fuse | FileSystem::Kernel) {
        return Ok(None);
    }
    let file = unnoticed(|flag| seen.open_again(flag | OFlag::O_NONBLOCK)).map(File::from);
    match file.and_then(|file| read_before(&file, seen.stat.size, TAIL)) {
        Ok(bytes) => Ok(Some(XxHash3_64::oneshot(&bytes))),
        // A server may keep its files from root, somebody else may cut one off or have a lease on it: then growth is not known.
        Err(_) => Ok(None),
    }
}
