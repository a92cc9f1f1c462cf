//! The descriptor table of a process, as /proc shows it.

use crate::{
    Result,
    inode::{self, Inode},
    kept::Kept,
    known::Told,
    parallel,
    path::{self, DELETED, Root},
};
use floe_proc::{Descriptors, Fdinfo, OpenInfo};
use floe_records::{AnyRecord, Bytes, FdEntry, FdNum, FileId, Finding, NamedFile, Pid};
use floe_sys::{pidfd_getfd, pidfd_open};
use nix::{
    fcntl::OFlag,
    sys::{
        stat::{FileStat, fstat},
        statfs::statfs,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

/// Descriptors that a thread reads at a time.
const PIECE: usize = 64;
/// What else we have open.
const OTHERS: usize = 256;

/// A process whose descriptors are looked at.
pub(crate) struct Holder {
    pub pid: u32,
    /// The process that has the descriptors: ourselves, where they are duplicates of what is on its way to `pid`.
    pub table: u32,
    /// It stands still.
    held: bool,
    pub root: Root,
    pidfd: OwnedFd,
    all: Descriptors,
    /// What has just been read of its descriptors.
    infos: Mutex<HashMap<u32, Fdinfo>>,
    /// What shows its descriptors and has not been read yet.
    opened: Mutex<HashMap<u32, OpenInfo>>,
    /// Whether what shows its descriptors is to be kept open.
    pub keeps: bool,
}

/// What there is to read of a descriptor without taking a duplicate.
pub(crate) struct Entry {
    pub fd: u32,
    /// What /proc/PID/fd shows.
    pub link: Vec<u8>,
    pub stat: Inode,
    /// /proc/PID/fdinfo.
    pub info: Fdinfo,
    /// Where it was opened by a path.
    pub name: Option<Name>,
    /// What is known of its description.
    pub same: Told,
    /// The message that was read last, of a log of the kernel, as `freeze` has found it.
    pub last_message: Option<u64>,
    /// What shows it, if that is kept open.
    pub open: Option<OpenInfo>,
}

/// A path that a descriptor was opened by.
pub(crate) struct Name {
    /// As the process sees it.
    pub path: Vec<u8>,
    /// It lies outside of the root of the process.
    pub outside: bool,
    /// No name leads to the file any more.
    pub deleted: bool,
    /// The path leads to this file, and not to another one by now.
    pub leads: bool,
    /// The path as we see it, without the kernel's remark.
    full: Vec<u8>,
}

impl Name {
    fn new(root: &Root, full: Vec<u8>, deleted: bool, leads: bool) -> Self {
        let (path, outside) = root.below(full.clone());
        Self { path, outside, deleted, leads, full }
    }

    /// The path as we see it, without the kernel's remark.
    pub fn full(&self) -> &[u8] {
        &self.full
    }
}

impl Holder {
    /// Opens what is read relative to it.
    pub fn open(pid: u32, held: bool) -> Result<Self> {
        let (pidfd, root, all) = (pidfd_open(pid as i32)?, Root::of(pid)?, Descriptors::of(pid)?);
        let (infos, opened) = (Mutex::default(), Mutex::default());
        Ok(Self { pid, table: pid, held, root, pidfd, all, infos, opened, keeps: false })
    }

    /// A process that stands still and is to receive descriptors of ours.
    pub fn receiver(pid: u32) -> Result<Self> {
        let table = std::process::id();
        let (pidfd, root, all) =
            (pidfd_open(table as i32)?, Root::of(pid)?, Descriptors::of(table)?);
        let (infos, opened) = (Mutex::default(), Mutex::default());
        Ok(Self { pid, table, held: true, root, pidfd, all, infos, opened, keeps: false })
    }

    /// Whether the descriptors are on their way to the process, and not yet its own.
    pub fn is_receiver(&self) -> bool {
        self.table != self.pid
    }

    /// The numbers of its descriptors, ascending.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        Ok(self.all.numbers()?)
    }

    /// The same of a process that runs; what shows its descriptors is kept open if there is room in `kept`. Where those are as many
    /// as the numbers from 0 on that something is open at, the directory need not be read, which takes half as long as to open
    /// the files in it.
    pub fn numbers_to_keep(&mut self, kept: &mut Kept) -> Result<Vec<u32>> {
        let count = self.all.count()?;
        self.make_room(count.unwrap_or_default());
        let count = count.filter(|count| *count > PIECE && kept.has_room(*count));
        let dense = count.map(|count| (0..count as u32).collect::<Vec<u32>>());
        let is_open = |fd: &u32| self.all.open_info(*fd).is_ok();
        let dense = dense.filter(|all| all.last().is_some_and(is_open));
        let opened = dense.and_then(|all| {
            let open = parallel::each(&all, |fd| Some((*fd, self.all.open_info(*fd).ok()?)));
            open.into_iter().collect::<Option<HashMap<u32, OpenInfo>>>().map(|open| (all, open))
        });
        let numbers = match opened {
            Some((all, open)) => {
                *self.opened.get_mut().unwrap_or_else(PoisonError::into_inner) = open;
                all
            }
            None => self.numbers()?,
        };
        self.keeps = kept.takes(numbers.len());
        Ok(numbers)
    }

    /// The same of a process that stands still and of which `open` shows descriptors that it had. If each of these has something
    /// open, and they are as many as it has, they are all.
    pub fn numbers_among(&self, open: BTreeMap<u32, OpenInfo>) -> Result<Vec<u32>> {
        if open.is_empty() || self.all.count()? != Some(open.len()) {
            return self.numbers();
        }
        let read = parallel::each_of(open.into_iter().collect(), PIECE, |(fd, open)| {
            Some((fd, open.read().ok()?))
        });
        let Some(infos) = read.into_iter().collect::<Option<HashMap<u32, Fdinfo>>>() else {
            return self.numbers();
        };
        let mut numbers: Vec<u32> = infos.keys().copied().collect();
        numbers.sort_unstable();
        *self.infos.lock().unwrap_or_else(PoisonError::into_inner) = infos;
        Ok(numbers)
    }

    /// For what shows that many descriptors, and for a duplicate of each.
    pub fn make_room(&self, count: usize) {
        if count > PIECE {
            parallel::make_room(self.pidfd.as_fd(), 2 * count + OTHERS);
        }
    }

    fn read_info(&self, fd: u32) -> Result<(Fdinfo, Option<OpenInfo>)> {
        let known = self.infos.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd);
        if let Some(info) = known {
            return Ok((info, None));
        }
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(&fd);
        let open = opened.map_or_else(|| self.all.open_info(fd), Ok)?;
        Ok((open.read()?, self.keeps.then_some(open)))
    }

    /// Reads what /proc says of a descriptor.
    pub fn entry(&self, fd: u32) -> Result<Entry> {
        let (info, open) = self.read_info(fd)?;
        let found = |link, stat, info, name, open| {
            let (same, last_message) = (Told::Nothing, None);
            Entry { fd, link, stat, info, name, same, last_message, open }
        };
        let link = match inode::link(&info)? {
            Some(link) => link,
            None => self.all.link(fd)?,
        };
        if let Some(stat) = Inode::nameless(&link, info.ino)? {
            return Ok(found(link, stat, info, None, open));
        }
        if let Some(stat) = self.by_path(&link, &info) {
            let name = Some(Name::new(&self.root, link.clone(), false, true));
            return Ok(found(link, stat, info, name, open));
        }
        let stat = Inode::of(&self.stat(fd)?);
        let name = self.name(&link, &stat);
        Ok(found(link, stat, info, name, open))
    }

    /// The file by its path, where that is known to lead to it: what has no name any more, or one that the kernel shows as
    /// removed, has to be asked itself. At one place of a mount there is one file of this number.
    fn by_path(&self, link: &[u8], info: &Fdinfo) -> Option<Inode> {
        if !link.starts_with(b"/") || Root::may_be_removed(link) || path::of_a_process(link) {
            return None;
        }
        let (stat, mount) = self.root.find(link)?;
        (stat.ino == info.ino && mount == u64::from(info.mnt_id)).then_some(stat)
    }

    fn name(&self, link: &[u8], stat: &Inode) -> Option<Name> {
        if !link.starts_with(b"/") {
            return None;
        }
        // No directory has such a file, so that its name need not be looked for.
        if stat.nlink == 0
            && link.starts_with(b"/memfd:")
            && let Some(bare) = link.strip_suffix(DELETED)
        {
            return Some(Name::new(&self.root, bare.to_vec(), true, false));
        }
        let (link, dev, ino) = (link.to_vec(), stat.dev, stat.ino);
        // What is on its way shows only behind the stop, when nothing is searched for any more.
        let (full, deleted) = if self.is_receiver() {
            self.root.beside(link, dev, ino)
        } else {
            self.root.without_suffix(link, dev, ino)
        };
        let leads = !deleted && self.root.leads_to(&full, stat.dev, stat.ino);
        Some(Name::new(&self.root, full, deleted, leads))
    }

    /// stat(2) of the file behind a descriptor. AUFS finds what was removed by no path of /proc, but through the file itself.
    fn stat(&self, fd: u32) -> Result<FileStat> {
        let through = || {
            let file = self.duplicate(fd)?;
            let fail = |e| floe_sys::Error::new(format!("read descriptor {fd}"), e);
            fstat(file).map_err(|e| fail(e).pid(self.pid))
        };
        // Where it runs, a duplicate might outlive its own descriptor.
        Ok(if self.held {
            through()?
        } else {
            match self.all.stat(fd) {
                Err(error) if error.is_stale() => through()?,
                other => other?,
            }
        })
    }

    /// Whether a descriptor is a message queue.
    pub fn is_queue(&self, fd: u32) -> bool {
        // MQUEUE_MAGIC of the kernel's ipc/mqueue.c
        const QUEUES: i64 = 0x1980_0202;
        let found = statfs(&floe_proc::path(self.table, &format!("fd/{fd}")));
        found.is_ok_and(|found| found.filesystem_type().0 == QUEUES)
    }

    /// fdinfo of a descriptor.
    pub fn info(&self, fd: u32) -> floe_sys::Result<Fdinfo> {
        self.all.info(fd)
    }

    /// A duplicate, which shares the description but not the table.
    pub fn duplicate(&self, fd: u32) -> floe_sys::Result<OwnedFd> {
        pidfd_getfd(self.pidfd.as_fd(), fd as i32)
    }

    /// The file behind a descriptor, opened anew.
    pub fn open_again(&self, fd: u32, flags: OFlag) -> floe_sys::Result<OwnedFd> {
        self.all.open(fd, flags)
    }

    /// The refusal of a file that was renamed over on an AUFS, of which not even stat(2) tells anything.
    pub fn stale(&self, fd: u32) -> Result<Finding> {
        let link = self.all.link(fd)?;
        let object = format!("fd {fd} ({})", String::from_utf8_lossy(&link));
        let problem = "it was replaced, and its union file system does not open it any more";
        let finding = Finding::of(Pid(self.pid), object, "file.stale", problem);
        Ok(finding.hint("have the program open it again, or close it"))
    }

    /// Whether a descriptor was closed meanwhile.
    pub fn has_closed(&self, fd: u32) -> bool {
        self.all.link(fd).is_err()
    }

    /// Whether another file is behind the number by now.
    pub fn has_changed(&self, entry: &Entry) -> bool {
        !self.all.link(entry.fd).is_ok_and(|link| link == entry.link)
    }
}

impl Entry {
    /// As it travels to `dumpfs`, with its description.
    pub fn record(self, id: FileId, what: &AnyRecord) -> FdEntry {
        let Inode { dev, ino, mode, nlink, rdev, size, mtime_ns, ctime_ns } = self.stat;
        let stat = [dev, ino, mode.into(), nlink, rdev, size];
        let named = |name: Name| {
            NamedFile(stat, [mtime_ns, ctime_ns], Bytes(name.full), name.deleted, name.leads)
        };
        let (link, text) = (Bytes(self.link), Bytes(self.info.into_text()));
        let last_message = match what {
            AnyRecord::KernelLog(log) => Some(log.last),
            _ => None,
        };
        FdEntry(FdNum(self.fd), link, text, self.name.map(named), id, last_message)
    }

    /// As `freeze` has read it.
    pub fn of_record(record: FdEntry, holder: &Holder) -> Result<Self> {
        let FdEntry(FdNum(fd), Bytes(link), Bytes(text), named, FileId(id), last_message) = record;
        let unknown = |e| floe_sys::Error::new(format!("read descriptor {fd}"), e);
        let info = Fdinfo::parse(text).map_err(unknown)?;
        let (stat, name) = match named {
            Some(NamedFile(stat, [mtime_ns, ctime_ns], Bytes(full), deleted, leads)) => {
                let [dev, ino, mode, nlink, rdev, size] = stat;
                let mode = mode as u32;
                let stat = Inode { dev, ino, mode, nlink, rdev, size, mtime_ns, ctime_ns };
                (Some(stat), Some(Name::new(&holder.root, full, deleted, leads)))
            }
            None => (Inode::nameless(&link, info.ino)?, None),
        };
        let none = || floe_sys::Error::because(format!("read descriptor {fd}"), "it has no file");
        let (stat, same) = (stat.ok_or_else(none)?, Told::Same(id));
        Ok(Self { fd, link, stat, info, name, same, last_message, open: None })
    }
}
