//! Which descriptors name which open file description.

use super::{
    SocketRules,
    describe::{Found, describe},
    epoll, pipes, terminal, unix,
};
use crate::{Result, memory};
use floe_records::*;
use floe_sys::{Error, kcmp_file, pidfd_getfd, pidfd_open};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Everything that descriptors of a tree lead to.
#[derive(Default)]
pub struct Captured {
    /// Open file descriptions by their ids.
    pub files: Vec<OpenFile>,
    /// A table for each process.
    pub tables: Vec<FdTable>,
    /// File locks.
    pub locks: Vec<Locks>,
    /// Modes of terminals.
    pub terminals: Vec<Terminal>,
    /// A duplicate of a reading end of each pipe whose contents are the tree's.
    pub pipes: BTreeMap<ObjectId, OwnedFd>,
    /// A duplicate of each UNIX socket whose queue is the tree's, by inode.
    pub sockets: BTreeMap<u64, OwnedFd>,
    /// Files without a name.
    pub objects: BTreeMap<ObjectId, (Object, File)>,
}

/// A description and where it was first seen.
struct Seen {
    pid: u32,
    fd: u32,
    id: FileId,
}

/// Reads the tables of the held processes `pids`.
pub fn capture(pids: &[Pid], rules: SocketRules) -> Result<Captured> {
    let mut captured = Captured::default();
    let mut seen: BTreeMap<(u64, u64), Vec<Seen>> = BTreeMap::new();
    let mut refusals = Vec::new();
    for pid in pids {
        let handle = pidfd_open(pid.0 as i32)?;
        let mut fds = Vec::new();
        for fd in numbers(pid.0)? {
            let duplicate = pidfd_getfd(handle.as_fd(), fd as i32)?;
            match describe(pid.0, fd, duplicate, rules) {
                Ok(mut found) => {
                    let cloexec = found.cloexec;
                    let mut locks = std::mem::take(&mut found.locks);
                    let known = captured.files.len();
                    let file = place(&mut captured, &mut seen, *pid, fd, found)?;
                    fds.push(Fd { fd: FdNum(fd), file, cloexec });
                    // Those of a description show on each of its descriptors.
                    let first = captured.files.len() > known;
                    locks.retain(|lock| first || lock.kind == LockKind::Posix);
                    if !locks.is_empty() {
                        captured.locks.push(Locks { pid: *pid, fd: FdNum(fd), locks });
                    }
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
    epoll::name_watched(&mut captured)?;
    let own = pipes::tell_foreign(&mut captured.files, pids);
    captured.pipes.retain(|pipe, _| own.contains(pipe));
    let own = unix::tell_foreign(&mut captured.files);
    captured.sockets.retain(|ino, _| own.contains(ino));
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
    // In the order of kcmp(2): thousands of eventfds share one inode.
    let same = seen.entry(found.key).or_default();
    let (mut low, mut high) = (0, same.len());
    while low < high {
        let middle = low.midpoint(high);
        let old = &same[middle];
        match kcmp_file(old.pid as i32, old.fd as i32, pid.0 as i32, fd as i32)? {
            Ordering::Equal => return Ok(old.id),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    let id = FileId(captured.files.len() as u32);
    same.insert(low, Seen { pid: pid.0, fd, id });
    let reads = found.flags & 3 != 1;
    match &found.what {
        FileKind::Pipe(pipe) if reads => {
            captured.pipes.entry(*pipe).or_insert(found.duplicate);
        }
        FileKind::Fifo(file) => {
            let pipe = ObjectId { dev: file.dev, ino: file.ino };
            if let Entry::Vacant(place) = captured.pipes.entry(pipe) {
                // Whoever opens it later reads what is left.
                let again = || pipes::reading_end(&found.duplicate);
                place.insert(if reads { found.duplicate } else { again()? });
            }
        }
        FileKind::External(_) => {
            captured.terminals.extend(terminal::terminal(id, found.duplicate.as_fd()));
        }
        FileKind::Unix(socket) => {
            captured.sockets.entry(socket.ino).or_insert(found.duplicate);
        }
        FileKind::Object(id) if !captured.objects.contains_key(id) => {
            // The duplicate may be open for writing only.
            let path = format!("/proc/{pid}/fd/{fd}");
            let file =
                File::open(&path).map_err(|e| Error::new(format!("open {path}"), e).pid(pid.0))?;
            let object = memory::object(&found.gone, &file)?;
            captured.objects.insert(*id, (object, file));
        }
        _ => {}
    }
    let (flags, pos, owner) = (found.flags, found.pos, found.owner);
    captured.files.push(OpenFile { id, pid, flags, pos, owner, what: found.what });
    Ok(id)
}
