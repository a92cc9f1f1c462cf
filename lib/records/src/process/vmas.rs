//! VMAs (/proc/PID/smaps).

use crate::{
    Addr, Bytes, FileRef, HugePages, Link, ObjectId, PROTECTION_KEYS, Pid, Reference, Resource,
    USER_END, ensure, sane,
};
use serde::{Deserialize, Serialize};

/// VMAs of one address space, ascending; long lists come as several records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vmas {
    /// Thread group.
    pub pid: Pid,
    /// At most 1024.
    pub vmas: Vec<Vma>,
}

/// What lies behind a VMA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VmaKind {
    /// Private anonymous memory, also heap and stack.
    Anon,
    /// A file that has a name.
    File,
    /// A file without a name, keyed by (dev, ino) of `file`: shared anonymous memory, memfd, deleted file.
    Object,
    /// The vdso.
    Vdso,
    /// vvar and its kin: kernel data beside the vdso, in `name`.
    Vvar,
    /// The vsyscall page: every process has it.
    Vsyscall,
    /// A private mapping of a file whose content its name does not lead to any more: all of its pages travel, and
    /// it comes back as anonymous memory.
    Detached,
    /// The ring of a context of asynchronous I/O ([`Aio`](crate::Aio)).
    Aio,
    /// Memory of an io_uring instance ([`IoUring`](crate::IoUring)), keyed by (dev, ino) of `file`.
    Ring,
}

/// One VMA (/proc/PID/smaps).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vma {
    /// First address, page aligned.
    pub start: Addr,
    /// First address behind, page aligned.
    pub end: Addr,
    /// PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4.
    pub prot: u8,
    /// MAP_SHARED.
    pub shared: bool,
    /// What lies behind.
    pub kind: VmaKind,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// The file, for `File`, `Object` and `Ring`.
    pub file: Option<FileRef>,
    /// Whether a private mapping's file was opened for writing (the mode of the link in /proc/PID/map_files): nobody can run
    /// that file meanwhile. Of shared mappings `mw` in `flags` says it.
    pub opened_to_write: bool,
    /// Name in brackets in maps, without them (`heap`, `stack`, `anon:x`, `vvar_vclock`).
    pub name: Option<Bytes>,
    /// `VmFlags` of smaps: two letters each, without spaces (`rdwrmrmwme`), with `lf` also where an older
    /// kernel keeps it to itself.
    pub flags: Bytes,
    /// Ranges that nobody can touch (MADV_GUARD_INSTALL of madvise(2)), ascending.
    pub guards: Vec<(Addr, Addr)>,
    /// Ranges that transparent huge pages back although no advice of the program asks for that (MADV_COLLAPSE of madvise(2), or a
    /// setting of the machine), ascending.
    pub collapsed: Vec<(Addr, Addr)>,
    /// Where it is of pages of hugetlbfs (`ht` in `flags`).
    pub huge: Option<HugePages>,
    /// Protection key (pkeys(7)), 0 to 15.
    pub key: u8,
}

impl Vma {
    /// Whether it maps a file that was opened for writing, as mmap(2) wants it for shared mappings that may become writable.
    pub fn wants_writing(&self) -> bool {
        if self.shared { self.has(b"mw") } else { self.opened_to_write }
    }

    /// The file that it maps.
    pub fn object(&self) -> Option<ObjectId> {
        self.file.as_ref().map(FileRef::object)
    }

    /// Whether `flags` has this one.
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.0.as_chunks::<2>().0.contains(flag)
    }

    /// PROT_READ.
    pub fn can_be_read(&self) -> bool {
        self.prot & 1 != 0
    }

    /// Whether its pages are the business of `freeze`: only who traces a process reads what the process itself may not.
    pub fn needs_tracer(&self) -> bool {
        self.is_carried() && !self.can_be_read() && self.kind != VmaKind::Detached
    }

    /// Whether a child can have pages of it from its parent by fork(2) again.
    pub fn can_be_inherited(&self) -> bool {
        let ordinary = self.kind != VmaKind::Detached && self.huge.is_none();
        self.is_carried() && self.can_be_read() && ordinary
    }

    /// Protection while pages are filled in. What was once writable is accounted (`ac`), and must be so again;
    /// what never was may not become it, or neighbours would merge. Huge pages are not accounted, and never merge.
    pub fn fill_prot(&self) -> u8 {
        let written = self.has(b"ac") || self.huge.is_some();
        if !self.shared && written { self.prot | 3 } else { self.prot }
    }

    /// Whether pages of it are carried as its process's own ([`Pages`](crate::Pages)).
    pub fn is_carried(&self) -> bool {
        let private = matches!(
            self.kind,
            VmaKind::Anon | VmaKind::File | VmaKind::Object | VmaKind::Detached
        );
        // What the kernel may drop at any time (MAP_DROPPABLE) is random state, which must not come back twice.
        private && !self.shared && !self.has(b"dp")
    }
}

/// The vsyscall page, which alone lies above user space.
const VSYSCALL: (u64, u64) = (0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000);
/// Bytes of a page.
const PAGE: u64 = 4096;

impl Vma {
    fn check(&self) -> Result<(), String> {
        let (start, end) = (self.start.0, self.end.0);
        ensure(start < end, "a mapping ends before it starts")?;
        let user = match self.kind {
            VmaKind::Vsyscall => (start, end) == VSYSCALL,
            _ => end <= USER_END,
        };
        ensure(user, "a mapping lies outside of user space")?;
        let aligned = [start, end, self.offset].iter().all(|at| at.is_multiple_of(PAGE));
        ensure(aligned, "a mapping does not lie on the borders of pages")?;
        let last = self.offset.checked_add(end - start);
        ensure(
            last.is_some_and(|last| last <= i64::MAX as u64),
            "a mapping ends behind every file",
        )?;
        self.huge.map_or(Ok(()), HugePages::check)?;
        let page = self.huge.map_or(PAGE, |huge| huge.size);
        let aligned = [start, end, self.offset].iter().all(|at| at.is_multiple_of(page));
        ensure(aligned, "a mapping does not lie on the borders of its huge pages")?;
        ensure(self.prot <= 7, "a mapping has an unknown protection")?;
        ensure(self.key < PROTECTION_KEYS.end, "a mapping has an impossible protection key")?;
        let two = self.flags.0.len().is_multiple_of(2) && self.flags.0.len() <= 128;
        ensure(two, "the flags of a mapping are none")?;
        let wants = matches!(self.kind, VmaKind::File | VmaKind::Object | VmaKind::Ring);
        ensure(
            wants == self.file.is_some(),
            "a mapping of a file names none, or another one does",
        )?;
        let private = wants || !self.shared || self.kind == VmaKind::Aio;
        ensure(private, "a mapping is shared with nobody")?;
        self.file.as_ref().map_or(Ok(()), crate::FileRef::check)?;
        self.name.as_ref().map_or(Ok(()), sane::text)?;
        let inside = |(from, to): &(Addr, Addr)| start <= from.0 && from < to && to.0 <= end;
        let aligned = |(from, to): &(Addr, Addr)| (from.0 | to.0).is_multiple_of(PAGE);
        let guards = "the guards of a mapping have impossible ranges";
        let collapsed = "the huge pages of a mapping have impossible ranges";
        for (ranges, problem) in [(&self.guards, guards), (&self.collapsed, collapsed)] {
            let sane = ranges.iter().all(|range| inside(range) && aligned(range));
            let ascending = ranges.windows(2).all(|two| two[0].1 <= two[1].0);
            ensure(sane && ascending, problem)?;
        }
        Ok(())
    }
}

impl Resource for Vmas {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, self.vmas.first().map_or(Addr(0), |first| first.start))
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        self.vmas.iter_mut().for_each(|vma| visit(Reference::Mapping(self.pid, vma)));
    }

    fn links(&self, visit: &mut dyn FnMut(Link)) {
        let objects = self.vmas.iter().filter(|vma| vma.kind == VmaKind::Object);
        objects.filter_map(Vma::object).for_each(|id| visit(Link::Object(id)));
    }

    fn check(&self) -> Result<(), String> {
        let one =
            |vma: &Vma| vma.check().map_err(|e| format!("{:x}-{:x}: {e}", vma.start.0, vma.end.0));
        self.vmas.iter().try_for_each(one)?;
        let behind = self.vmas.windows(2).all(|two| two[0].end <= two[1].start);
        ensure(behind, "its mappings overlap or are not in ascending order")
    }
}
