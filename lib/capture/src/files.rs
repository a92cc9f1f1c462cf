//! Descriptor tables and the open file descriptions behind them.
//!
//! Nothing is consumed: contents of pipes are copied by tee(2), everything else comes from /proc/PID/fdinfo and
//! from duplicates taken by pidfd_getfd(2), which share the description but not the table.

use crate::{
    Result,
    descriptor_of::{Context, Descriptor, Problem},
    path::root_path,
    resource::{self, is},
};
use floe_records::{
    AnyRecord, Fd, FdNum, FdTable, FileId, Findings, Object, ObjectId, OpenFile, Options, Pid,
    Record,
};
use floe_sys::{kcmp_file, pidfd_open};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

/// Everything that descriptors of a tree lead to.
#[derive(Default)]
pub struct Files {
    /// The processes.
    pub(crate) pids: Vec<Pid>,
    /// Open file descriptions by their ids, each with what it is.
    pub(crate) all: Vec<(OpenFile, AnyRecord)>,
    /// Descriptors by process, ascending.
    pub(crate) tables: Vec<FdTable>,
    /// Properties of descriptors and descriptions.
    pub(crate) properties: Vec<AnyRecord>,
    /// Duplicates of those descriptions whose contents are asked for later.
    pub(crate) duplicates: BTreeMap<FileId, OwnedFd>,
    /// Files without a name that only descriptors lead to.
    pub(crate) objects: BTreeMap<ObjectId, (Object, File)>,
    /// Whether the processes stand still.
    held: bool,
}

/// A description and where it was first seen.
struct Seen {
    pid: u32,
    fd: u32,
    id: FileId,
}

type Known = BTreeMap<(u64, u64), Vec<Seen>>;

impl Files {
    /// Describes what the descriptors of `pids` lead to, without a side effect on them. Of processes that run
    /// (`held` is false) descriptors may come and go meanwhile: those that are gone are left out.
    pub fn describe(
        pids: &[Pid],
        options: &Options,
        held: bool,
        out: &mut Findings,
    ) -> Result<Self> {
        let mut files = Self { pids: pids.to_vec(), held, ..Self::default() };
        let mut known = Known::new();
        for pid in pids {
            files.process(*pid, Context { options, held }, &mut known, out)?;
        }
        resource::relate(&mut files, out)?;
        Ok(files)
    }

    fn process(
        &mut self,
        pid: Pid,
        context: Context<'_>,
        known: &mut Known,
        out: &mut Findings,
    ) -> Result<()> {
        let handle = pidfd_open(pid.0 as i32)?;
        let root = root_path(pid.0)?;
        let mut fds = Vec::new();
        for fd in numbers(pid.0)? {
            match self.descriptor(pid, fd, handle.as_fd(), &root, context, known, out) {
                Ok(found) => fds.extend(found),
                Err(_) if !self.held && is_gone(pid.0, fd) => {}
                Err(error) => return Err(error),
            }
        }
        self.tables.push(FdTable { pid, fds });
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one step of one loop")]
    fn descriptor(
        &mut self,
        pid: Pid,
        fd: u32,
        handle: std::os::fd::BorrowedFd<'_>,
        root: &[u8],
        context: Context<'_>,
        known: &mut Known,
        out: &mut Findings,
    ) -> Result<Option<Fd>> {
        let seen = Descriptor::read(pid.0, fd, handle, root, context)?;
        let same = known.entry(seen.inode()).or_default();
        let (old, at) = find(same, pid.0, fd)?;
        let id = old.unwrap_or(FileId(self.all.len() as u32));
        let refused = |problem: Problem, out: &mut Findings| -> Result<()> {
            // One that changed under our eyes says nothing.
            if context.held || !has_changed(&seen) {
                out.refuse(problem.at(&seen)?);
            }
            Ok(())
        };
        match resource::properties(&seen, id, old.is_none()) {
            Ok(some) => self.properties.extend(some),
            Err(problem) => {
                refused(problem, out)?;
                return Ok(None);
            }
        }
        if old.is_none() {
            let what = match resource::describe(&seen, id) {
                Ok(what) => what,
                Err(problem) => {
                    self.properties.retain(|property| !belongs(property, id));
                    refused(problem, out)?;
                    return Ok(None);
                }
            };
            same.insert(at, Seen { pid: pid.0, fd, id });
            let (flags, pos, kind) = (seen.flags, seen.pos, what.kind().number());
            self.all.push((OpenFile { id, pid, flags, pos, kind }, what));
            let cloexec = seen.cloexec;
            self.keep(id, seen)?;
            return Ok(Some(Fd { fd: FdNum(fd), file: id, cloexec }));
        }
        Ok(Some(Fd { fd: FdNum(fd), file: id, cloexec: seen.cloexec }))
    }

    /// Keeps a duplicate of what has contents.
    fn keep(&mut self, id: FileId, seen: Descriptor<'_>) -> Result<()> {
        let (open, what) = &self.all[id.0 as usize];
        match what {
            AnyRecord::Pipe(_) if !open.reads() => {}
            AnyRecord::Pipe(_) | AnyRecord::Fifo(_) | AnyRecord::UnixSocket(_) => {
                self.duplicates.insert(id, seen.into_duplicate()?);
            }
            AnyRecord::NamelessFile(_) => {
                let object = crate::file::nameless_file::object(&seen)?;
                self.objects.entry(object.0.id).or_insert(object);
            }
            _ => {}
        }
        Ok(())
    }

    /// The descriptions of one kind, with what they are.
    pub(crate) fn of<T: Record>(&self) -> impl Iterator<Item = &(OpenFile, AnyRecord)> {
        self.all.iter().filter(|(open, _)| is::<T>(open))
    }

    /// Makes a description one of another kind.
    pub(crate) fn replace<T: Record>(&mut self, id: FileId, what: T) {
        let (open, old) = &mut self.all[id.0 as usize];
        (open.kind, *old) = (T::KIND, what.any());
        self.duplicates.remove(&id);
    }

    /// What stands on its own: queues and the like. The processes stand still.
    pub fn collect(&self, out: &mut Findings) -> Result<Vec<AnyRecord>> {
        resource::objects(self, out)
    }

    /// Leaves out files without a name that are mapped: their contents travel with the memory.
    pub fn leave_out(&mut self, mapped: &BTreeSet<ObjectId>) {
        self.objects.retain(|id, _| !mapped.contains(id));
    }

    /// Files without a name, open for reading.
    pub fn objects(&self) -> &BTreeMap<ObjectId, (Object, File)> {
        &self.objects
    }

    /// All records but those of [`Files::collect`].
    pub fn records(&self) -> impl Iterator<Item = AnyRecord> {
        let objects = self.objects.values().map(|(object, _)| object.clone().any());
        let files = self.all.iter().flat_map(|(open, what)| [open.clone().any(), what.clone()]);
        let tables = self.tables.iter().filter(|table| !table.fds.is_empty());
        let tables = tables.flat_map(pieces).map(Record::any);
        objects.chain(files).chain(tables).chain(self.properties.iter().cloned())
    }
}

/// Descriptors to a record.
const MOST: usize = 65_536;

fn pieces(table: &FdTable) -> impl Iterator<Item = FdTable> {
    table.fds.chunks(MOST).map(|fds| FdTable { pid: table.pid, fds: fds.to_vec() })
}

/// Whether a property is of this description alone.
fn belongs(property: &AnyRecord, id: FileId) -> bool {
    match property {
        AnyRecord::Owner(owner) => owner.file == id,
        AnyRecord::Terminal(terminal) => terminal.file == id,
        _ => false,
    }
}

fn is_gone(pid: u32, fd: u32) -> bool {
    std::fs::symlink_metadata(floe_proc::fd_path(pid, fd)).is_err()
}

fn has_changed(seen: &Descriptor<'_>) -> bool {
    let link = floe_proc::link(seen.pid, &format!("fd/{}", seen.fd));
    !link.is_ok_and(|link| link == seen.link)
}

/// Numbers of the descriptors of a process.
fn numbers(pid: u32) -> Result<Vec<u32>> {
    Ok(floe_proc::numbers_in(floe_proc::path(pid, "fd")).map_err(|e| e.pid(pid))?)
}

/// The id of the description if it is known, else where it belongs: in the order of kcmp(2), because thousands of eventfds
/// share one inode.
fn find(same: &[Seen], pid: u32, fd: u32) -> Result<(Option<FileId>, usize)> {
    let (mut low, mut high) = (0, same.len());
    while low < high {
        let middle = low.midpoint(high);
        let old = &same[middle];
        match kcmp_file(old.pid as i32, old.fd as i32, pid as i32, fd as i32)? {
            Ordering::Equal => return Ok((Some(old.id), middle)),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok((None, low))
}
