//! The descriptor table of a process, as /proc shows it.

use crate::{
    Result,
    inode::{self, Inode},
    kept::{Kept, Place},
    known::Told,
    parallel,
    path::{self, DELETED, Root},
};
use floe_proc::{Descriptors, Fdinfo, OpenInfo};
use floe_records::{AnyRecord, Bytes, FdEntry, FdNum, FileId, Finding, NamedFile, Pid};
use floe_sys::{pidfd_getfd, pidfd_open};
use floe_tables::Shown;
use nix::{
    fcntl::OFlag,
    sys::{
        stat::{FileStat, fstat},
        statfs::statfs,
    },
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::os::fd::{AsFd, OwnedFd};

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
    /// Whether what shows its descriptors is to be kept open.
    pub keeps: bool,
}

/// A number of the table at which something is open, and what is known of that before it is looked at.
pub(crate) struct Slot {
    pub fd: u32,
    same: Told,
    info: Option<Fdinfo>,
    /// What shows it and has not been read yet.
    open: Option<OpenInfo>,
    /// As a table shows it: the name that it was opened by, whether that was removed, whether nobody was ever made its owner.
    name: Option<(u64, u64)>,
    unlinked: bool,
    unowned: bool,
}

/// What the name of a descriptor has led to.
pub(crate) type ByName = FxHashMap<Place, (Vec<u8>, Inode, Option<Name>)>;

impl Slot {
    /// Nothing is known.
    pub fn of(fd: u32) -> Self {
        let (same, unlinked, unowned) = (Told::Nothing, false, false);
        Self { fd, same, info: None, open: None, name: None, unlinked, unowned }
    }

    fn shown(it: Shown) -> Self {
        let (name, unlinked, unowned) = (Some(it.name), it.unlinked, it.unowned);
        let (same, info) = (Told::Same(it.description), it.info);
        Self { fd: it.fd, same, info, open: None, name, unlinked, unowned }
    }

    /// What it was opened by, where that may be a path.
    fn place(&self) -> Result<Option<Place>> {
        let (Some(info), Some((entry, mount))) = (&self.info, self.name) else { return Ok(None) };
        Ok(inode::may_have_name(info)?.then_some((entry, mount, info.ino)))
    }

    fn opened(fd: u32, open: OpenInfo) -> Self {
        Self { open: Some(open), ..Self::of(fd) }
    }

    fn read(fd: u32, info: Fdinfo) -> Self {
        Self { info: Some(info), ..Self::of(fd) }
    }
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
    /// No process or signal was ever set for it.
    pub unowned: bool,
}

/// A path that a descriptor was opened by.
#[derive(Clone)]
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
        Ok(Self { pid, table: pid, held, root, pidfd, all, keeps: false })
    }

    /// A process that stands still and is to receive descriptors of ours.
    pub fn receiver(pid: u32) -> Result<Self> {
        let table = std::process::id();
        let (pidfd, root, all) =
            (pidfd_open(table as i32)?, Root::of(pid)?, Descriptors::of(table)?);
        Ok(Self { pid, table, held: true, root, pidfd, all, keeps: false })
    }

    /// Whether the descriptors are on their way to the process, and not yet its own.
    pub fn is_receiver(&self) -> bool {
        self.table != self.pid
    }

    fn numbers(&self) -> Result<Vec<Slot>> {
        Ok(self.all.numbers()?.into_iter().map(Slot::of).collect())
    }

    /// The descriptors of a process that runs, ascending; what shows them is kept open if there is room in `kept`. Where they are as
    /// many as the numbers from 0 on that something is open at, the directory need not be read, which takes half as long as to open
    /// the files in it.
    pub fn slots_to_keep(&mut self, kept: &mut Kept) -> Result<Vec<Slot>> {
        let count = self.all.count()?;
        self.make_room(count.unwrap_or_default());
        if let Some(slots) = self.read_whole(count, kept)? {
            let unknown = slots.iter().filter(|slot| slot.info.is_none()).count();
            self.keeps = kept.takes(unknown);
            return Ok(slots);
        }
        let count = count.filter(|count| *count > PIECE && kept.has_room(*count));
        let dense = count.map(|count| (0..count as u32).collect::<Vec<u32>>());
        let is_open = |fd: &u32| self.all.open_info(*fd).is_ok();
        let dense = dense.filter(|all| all.last().is_some_and(is_open));
        let opened = dense.and_then(|all| {
            let open = |fd: &u32| Some(Slot::opened(*fd, self.all.open_info(*fd).ok()?));
            parallel::each(&all, open).into_iter().collect::<Option<Vec<Slot>>>()
        });
        let slots = opened.map_or_else(|| self.numbers(), Ok)?;
        self.keeps = kept.takes(slots.len());
        Ok(slots)
    }

    /// The same of a process that stands still and of which `kept` shows descriptors that it had. If each of these has something
    /// open, and they are as many as it has, they are all.
    pub fn slots_among(&self, kept: &mut Kept) -> Result<Vec<Slot>> {
        let (count, mut open) = (self.all.count()?, kept.take(self.pid));
        if let Some(mut slots) = self.read_whole(count, kept)? {
            let unknown = slots.iter_mut().filter(|slot| slot.info.is_none());
            unknown.for_each(|slot| slot.open = open.remove(&slot.fd));
            return Ok(slots);
        }
        if open.is_empty() || count != Some(open.len()) {
            return self.numbers();
        }
        let read = |(fd, open): (u32, OpenInfo)| Some(Slot::read(fd, open.read().ok()?));
        let read = parallel::each_of(open.into_iter().collect(), PIECE, read);
        match read.collect::<Option<Vec<Slot>>>() {
            Some(slots) => Ok(slots),
            None => self.numbers(),
        }
    }

    /// All descriptors, where they are many and a program in the kernel can read the table.
    fn read_whole(&self, count: Option<usize>, kept: &mut Kept) -> Result<Option<Vec<Slot>>> {
        let Some(tables) = kept.tables(count.unwrap_or_default()) else { return Ok(None) };
        let shown = tables.read(self.pid, count.unwrap_or_default())?;
        // It has not gone meanwhile, and is none that has a table of its own beside that of its threads.
        if self.held && Some(shown.len()) != count || shown.is_empty() {
            return Ok(None);
        }
        Ok(Some(shown.into_iter().map(Slot::shown).collect()))
    }

    /// For what shows that many descriptors, and for a duplicate of each.
    pub fn make_room(&self, count: usize) {
        if count > PIECE {
            parallel::make_room(self.pidfd.as_fd(), 2 * count + OTHERS);
        }
    }

    /// Reads what /proc says of descriptors, in their order; of several that were opened by the same name, of the first one.
    pub fn entries(
        &self,
        some: Vec<Slot>,
        kept: &mut Kept,
        by_name: &mut ByName,
    ) -> Result<Vec<(u32, Result<Box<Entry>>)>> {
        let (mut first, mut others, mut met) = (Vec::new(), Vec::new(), FxHashSet::default());
        for slot in some {
            match slot.place()? {
                Some(place) if by_name.contains_key(&place) || !met.insert(place) => {
                    others.push((slot, place));
                }
                place => first.push((slot, place)),
            }
        }
        let links = &*kept;
        let read = parallel::each_of(first, PIECE, |(slot, place)| {
            let known = place.and_then(|place| links.link(place));
            (slot.fd, place, self.entry(slot, known).map(Box::new))
        });
        let mut read: Vec<_> = read.collect();
        for (_, place, entry) in &read {
            let (Some(place), Ok(entry)) = (place, entry) else { continue };
            by_name.insert(*place, (entry.link.clone(), entry.stat, entry.name.clone()));
            if !self.held {
                kept.put_link(*place, entry.link.clone());
            }
        }
        for (slot, place) in others {
            let fd = slot.fd;
            let entry = match (by_name.get(&place), slot) {
                (Some((link, stat, name)), Slot { same, info: Some(info), unowned, .. }) => {
                    let (link, stat, name) = (link.clone(), *stat, name.clone());
                    let (open, last_message) = (None, None);
                    Ok(Entry { fd, link, stat, info, name, same, last_message, open, unowned })
                }
                (_, slot) => self.entry(slot, None),
            };
            read.push((fd, None, entry.map(Box::new)));
        }
        read.sort_unstable_by_key(|(fd, ..)| *fd);
        Ok(read.into_iter().map(|(fd, _, entry)| (fd, entry)).collect())
    }

    /// Reads what /proc says of a descriptor; `known`: what its link has shown when the process ran.
    pub fn entry(&self, slot: Slot, known: Option<&[u8]>) -> Result<Entry> {
        let Slot { fd, same, info, open, unlinked, unowned, .. } = slot;
        let (info, open) = match (info, open) {
            (Some(info), _) => (info, None),
            (None, open) => {
                let open = open.map_or_else(|| self.all.open_info(fd), Ok)?;
                (open.read()?, self.keeps.then_some(open))
            }
        };
        let found = |link, stat, info, name, open| {
            let last_message = None;
            Entry { fd, link, stat, info, name, same, last_message, open, unowned }
        };
        let mut by_path = None;
        let link = match (inode::link(&info)?, known) {
            (Some(link), _) => link,
            // The name of such a file never changes.
            (None, Some(link)) if inode::is_in_memory(&info)? => link.to_vec(),
            (None, Some(link)) if !unlinked => {
                // It is the only name that the file has.
                by_path = self.by_path(link, &info).filter(|it| it.is_dir() || it.nlink == 1);
                if by_path.is_some() { link.to_vec() } else { self.all.link(fd)? }
            }
            (None, _) => self.all.link(fd)?,
        };
        if let Some(stat) = Inode::nameless(&link, info.ino)? {
            return Ok(found(link, stat, info, None, open));
        }
        if let Some(stat) = by_path.or_else(|| self.by_path(&link, &info)) {
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
        FdEntry(FdNum(self.fd), link, text, self.name.map(named), id, last_message, self.unowned)
    }

    /// As `freeze` has read it.
    pub fn of_record(record: FdEntry, holder: &Holder) -> Result<Self> {
        let FdEntry(FdNum(fd), Bytes(link), Bytes(text), named, FileId(id), last_message, unowned) =
            record;
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
        let (stat, same) = (stat.ok_or_else(none)?, Told::Same(id.into()));
        Ok(Self { fd, link, stat, info, name, same, last_message, open: None, unowned })
    }
}
