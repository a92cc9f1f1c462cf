//! VMAs (/proc/PID/smaps).

use crate::{Addr, Bytes, FileRef, Pid, Reference, Resource};
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
    /// The file, for `File` and `Object`.
    pub file: Option<FileRef>,
    /// Name in brackets in maps, without them (`heap`, `stack`, `anon:x`, `vvar_vclock`).
    pub name: Option<Bytes>,
    /// `VmFlags` of smaps: two letters each, without spaces (`rdwrmrmwme`), with `lf` also where an older
    /// kernel keeps it to itself.
    pub flags: Bytes,
    /// Ranges that nobody can touch (MADV_GUARD_INSTALL of madvise(2)), ascending.
    pub guards: Vec<(Addr, Addr)>,
}

impl Vma {
    /// Whether `flags` has this one.
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.0.as_chunks::<2>().0.contains(flag)
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

impl Resource for Vmas {
    type Key = (Pid, Addr);
    fn key(&self) -> Self::Key {
        (self.pid, self.vmas.first().map_or(Addr(0), |first| first.start))
    }

    fn references(&mut self, visit: &mut dyn FnMut(Reference<'_>)) {
        self.vmas.iter_mut().for_each(|vma| visit(Reference::Mapping(self.pid, vma)));
    }
}
