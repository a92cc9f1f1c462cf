//! The address space: its numbers and its VMAs, and the pages as bulk.

use crate::{Addr, Bytes, FileRef, Pid, record};
use serde::{Deserialize, Serialize};

/// Numbers of an address space, as prctl(2) PR_SET_MM_MAP takes them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mm {
    /// Thread group.
    pub pid: Pid,
    /// The executable.
    pub exe: FileRef,
    /// Code range.
    pub code: (Addr, Addr),
    /// Data range.
    pub data: (Addr, Addr),
    /// Start of the heap, and the break.
    pub brk: (Addr, Addr),
    /// Start of the stack.
    pub stack: Addr,
    /// Argument strings.
    pub args: (Addr, Addr),
    /// Environment strings.
    pub env: (Addr, Addr),
    /// /proc/PID/auxv.
    pub auxv: Bytes,
    /// XXH3-64 of the pages of the vdso, 0 where there is none.
    pub vdso_hash: u64,
}
record!(Mm, 11, 1);

/// VMAs of one address space, ascending; long lists come as several records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vmas {
    /// Thread group.
    pub pid: Pid,
    /// At most 1024.
    pub vmas: Vec<Vma>,
}
record!(Vmas, 12, 1);

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
    Content,
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
        let private =
            matches!(self.kind, VmaKind::Anon | VmaKind::File | VmaKind::Object | VmaKind::Content);
        // What the kernel may drop at any time (MAP_DROPPABLE) is random state, which must not come back twice.
        private && !self.shared && !self.has(b"dp")
    }
}

/// The file behind a mapping, as it must be found again at restore.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedFile {
    /// A process that maps it, and whose root its path starts from.
    pub pid: Pid,
    /// The file.
    pub file: FileRef,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// NT_GNU_BUILD_ID, where the file has one.
    pub build_id: Option<Bytes>,
}
record!(MappedFile, 41, 1);
