//! Which descriptors name which open file description.

use super::describe::{Found, describe};
use crate::Result;
use floe_records::{Fd, FdNum, FdTable, FileId, FileKind, OpenFile, Pid, Refusal, Refusals};
use floe_sys::{Error, kcmp_file, pidfd_getfd, pidfd_open};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

/// Everything that descriptors of a tree lead to.
#[derive(Default)]
pub struct Captured {
    /// Open file descriptions by their ids.
    pub files: Vec<OpenFile>,
    /// A table for each process.
    pub tables: Vec<FdTable>,
    /// A duplicate of one end of each pipe of the tree that is open for reading, by inode.
    pub pipes: BTreeMap<u64, OwnedFd>,
}

/// A description and where it was first seen.
struct Seen {
    pid: u32,
    fd: u32,
    id: FileId,
}

/// Reads the tables of the held processes `pids`.
pub fn capture(pids: &[Pid]) -> Result<Captured> {
    let mut captured = Captured::default();
    let mut seen: BTreeMap<(u64, u64), Vec<Seen>> = BTreeMap::new();
    let mut refusals = Vec::new();
    for pid in pids {
        let handle = pidfd_open(pid.0 as i32)?;
        let mut fds = Vec::new();
        for fd in numbers(pid.0)? {
            let duplicate = pidfd_getfd(handle.as_fd(), fd as i32)?;
            match describe(pid.0, fd, duplicate) {
                Ok(found) => {
                    let cloexec = found.cloexec;
                    let file = place(&mut captured, &mut seen, *pid, fd, found)?;
                    fds.push(Fd { fd: FdNum(fd), file, cloexec });
                }
                Err(crate::Error::Refused(Refusals(more))) => refusals.extend(more),
                Err(error) => return Err(error),
            }
        }
        captured.tables.push(FdTable { pid: *pid, fds });
    }
    if !refusals.is_empty() {
        return Err(Refusals(refusals).into());
    }
    name_watched(&mut captured)?;
    super::pipes::tell_foreign(&mut captured.files, pids)?;
    Ok(captured)
}

fn numbers(pid: u32) -> Result<BTreeSet<u32>> {
    let path = format!("/proc/{pid}/fd");
    let fail = |e| Error::new(format!("list {path}"), e).pid(pid);
    let mut fds = BTreeSet::new();
    for entry in std::fs::read_dir(&path).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        fds.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(fds)
}

/// The id of the description: an old one if the kernel says that it is the same.
fn place(
    captured: &mut Captured,
    seen: &mut BTreeMap<(u64, u64), Vec<Seen>>,
    pid: Pid,
    fd: u32,
    found: Found,
) -> Result<FileId> {
    let same = seen.entry(found.key).or_default();
    for old in same.iter() {
        if kcmp_file(old.pid as i32, old.fd as i32, pid.0 as i32, fd as i32)? == Ordering::Equal {
            return Ok(old.id);
        }
    }
    let id = FileId(captured.files.len() as u32);
    same.push(Seen { pid: pid.0, fd, id });
    if let (FileKind::Pipe(ino), true) = (&found.what, found.flags & 3 != 1) {
        captured.pipes.entry(*ino).or_insert(found.duplicate);
    }
    let (flags, pos, owner) = (found.flags, found.pos, found.owner);
    captured.files.push(OpenFile { id, flags, pos, owner, what: found.what });
    Ok(id)
}

/// Epoll watches name descriptors; the descriptions behind them are known only now.
fn name_watched(captured: &mut Captured) -> Result<()> {
    let mut refusals = Vec::new();
    for table in &captured.tables {
        for fd in &table.fds {
            let FileKind::Epoll(watches) = &mut captured.files[fd.file.0 as usize].what else {
                continue;
            };
            for watch in watches.iter_mut() {
                match table.fds.iter().find(|other| other.fd == watch.fd) {
                    Some(other) => watch.file = other.file,
                    None => refusals.push(Refusal {
                        pid: Some(table.pid),
                        object: format!("fd {} (epoll)", fd.fd),
                        problem: format!(
                            "it watches a file whose descriptor {} is closed",
                            watch.fd
                        ),
                        hint: String::new(),
                    }),
                }
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(Refusals(refusals).into()) }
}
