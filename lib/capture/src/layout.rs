//! The VMAs of an address space from /proc/PID/smaps, and which of them cannot be captured.

use crate::{Result, memory::Scanner, path::Root};
use floe_proc::{Mapping, SmapsEntry};
use floe_records::{Addr, FileRef, Finding, Pid, SEGMENTS, Vma, VmaKind};
use std::{
    collections::HashMap,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

/// VMAs and what stands in their way.
#[derive(Debug, Default)]
pub struct Layout {
    /// Ascending.
    pub vmas: Vec<Vma>,
    /// Those that cannot be captured.
    pub refusals: Vec<Finding>,
}

impl Layout {
    /// The executable, of which `exe` may know only the path: a mapping of it may lead to the file all the same.
    pub(crate) fn executable(&self, exe: FileRef) -> FileRef {
        let same = |file: &&FileRef| {
            file.deleted && (&file.path, file.outside) == (&exe.path, exe.outside)
        };
        let mapped = self.vmas.iter().filter_map(|vma| vma.file.as_ref()).find(same);
        match mapped.filter(|_| exe.ino == 0) {
            Some(file) => FileRef { dev: file.dev, ino: file.ino, ..exe },
            None => exe,
        }
    }

    /// The mappings, with the names of those that the kernel has made alone.
    pub(crate) fn mappings(&self) -> Vec<Mapping> {
        let mapping = |vma: &Vma| Mapping {
            start: vma.start.0,
            end: vma.end.0,
            prot: i32::from(vma.prot),
            shared: vma.shared,
            offset: vma.offset,
            dev: 0,
            ino: 0,
            name: match vma.kind {
                VmaKind::Vdso => b"[vdso]".to_vec(),
                VmaKind::Vsyscall => b"[vsyscall]".to_vec(),
                _ => Vec::new(),
            },
        };
        self.vmas.iter().map(mapping).collect()
    }
}

/// Reads the layout of a process.
pub(crate) fn layout(pid: u32, root: &Root) -> Result<Layout> {
    let mut files = Files { pid, root, known: HashMap::new() };
    let mut layout = Layout::default();
    for SmapsEntry { mapping, mut flags, rss, protection_key } in floe_proc::smaps(pid)? {
        lock_on_fault(&mut flags, &mapping, rss);
        let (path, mut vma) = vma(mapping, flags);
        if vma.has(b"gu") {
            let found = Scanner::new(pid)?.look(vma.start.0..vma.end.0)?;
            vma.guards = found.guards.iter().map(|g| (Addr(g.start), Addr(g.end))).collect();
        }
        let problem = problem(&mut files, &path, &mut vma, protection_key != 0);
        if let Some(problem) = problem {
            let name = String::from_utf8_lossy(&path);
            let range = format!("{:x}-{:x} {name}", vma.start.0, vma.end.0).trim_end().to_owned();
            let finding = Finding::of(Pid(pid), range, "mapping", problem);
            layout.refusals.push(finding.hint("have the program unmap it first"));
        }
        vma.opened_to_write = vma.file.is_some() && !vma.shared && opened_to_write(pid, &vma)?;
        layout.vmas.push(vma);
    }
    Ok(layout)
}

fn opened_to_write(pid: u32, vma: &Vma) -> Result<bool> {
    let link = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    match link.symlink_metadata() {
        Ok(meta) => Ok(meta.mode() & 0o200 != 0),
        // It runs, and has unmapped it meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => {
            let doing = format!("read {}", link.display());
            Err(floe_sys::Error::new(doing, e).pid(pid).into())
        }
    }
}

/// Older kernels do not show `lf` (MLOCK_ONFAULT of mlock2(2)). Locked memory that is not all there can be had by no
/// other lock.
fn lock_on_fault(flags: &mut Vec<u8>, mapping: &Mapping, resident: u64) {
    let has = |flags: &[u8], flag| flags.as_chunks::<2>().0.contains(flag);
    if has(flags, b"lo") && !has(flags, b"lf") && resident < mapping.size() {
        flags.extend(b"lf");
    }
}

/// A VMA whose kind is not known yet, and its path.
fn vma(mapping: Mapping, flags: Vec<u8>) -> (Vec<u8>, Vma) {
    let Mapping { start, end, prot, shared, offset, dev, ino, name } = mapping;
    let path = name.clone().into();
    let vma = Vma {
        start: Addr(start),
        end: Addr(end),
        prot: prot as u8,
        shared,
        kind: VmaKind::Anon,
        offset,
        opened_to_write: false,
        file: Some(FileRef { path, outside: false, dev, ino, mnt_id: None, deleted: false }),
        name: None,
        flags: flags.into(),
        guards: Vec::new(),
    };
    (name, vma)
}

/// Completes a VMA; gives why it cannot be captured.
fn problem(files: &mut Files<'_>, path: &[u8], vma: &mut Vma, key: bool) -> Option<&'static str> {
    let file = vma.file.take();
    if key {
        return Some("memory with a protection key (pkeys(7)) cannot be captured");
    }
    let blocked = blocked_flags(&vma.flags.0).or_else(|| blocked_path(path));
    if blocked.is_some() {
        return blocked;
    }
    if path.starts_with(b"/SYSV") {
        vma.kind = VmaKind::Object;
        let name = path.strip_suffix(b" (deleted)").unwrap_or(path);
        vma.file = file.map(|f| FileRef { path: name.into(), dev: SEGMENTS, deleted: true, ..f });
        return None;
    }
    let inner = path.strip_prefix(b"[").and_then(|path| path.strip_suffix(b"]"));
    vma.name = inner.map(Into::into);
    match inner {
        Some(b"vdso") => vma.kind = VmaKind::Vdso,
        Some(b"vsyscall") => vma.kind = VmaKind::Vsyscall,
        Some(b"uprobes") => return Some("a uprobe is set in it"),
        Some(inner) if inner.starts_with(b"vvar") => vma.kind = VmaKind::Vvar,
        None if !path.is_empty() => return files.file_vma(path, &file?, vma),
        // Named shared anonymous memory is a file without a name as well.
        _ if vma.shared => {
            vma.kind = VmaKind::Object;
            vma.file = file.map(|f| FileRef { path: b"/dev/zero"[..].into(), deleted: true, ..f });
        }
        _ => {}
    }
    None
}

/// Mapped files of a process. Most are mapped by several VMAs.
struct Files<'a> {
    pid: u32,
    root: &'a Root,
    known: HashMap<(u64, u64, Vec<u8>), Known>,
}

/// What there is of a mapped file, for every process that maps it.
#[derive(Clone)]
enum Known {
    /// Not of a kind that can be captured.
    Blocked(&'static str),
    /// Its path leads to another file.
    Hidden,
    /// A file, and how many names it has.
    File(FileRef, u64),
}

impl Files<'_> {
    /// Fills in kind and file of a VMA with a path.
    fn file_vma(&mut self, path: &[u8], file: &FileRef, vma: &mut Vma) -> Option<&'static str> {
        let key = (file.dev, file.ino, path.to_vec());
        let known = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let known = self.look(path, file, vma);
                self.known.insert(key, known.clone());
                known
            }
        };
        match known {
            Known::Blocked(problem) => return Some(problem),
            Known::Hidden => {
                vma.kind = VmaKind::Detached;
                return vma.shared.then_some("its path leads to another file by now");
            }
            Known::File(file, links) => {
                if file.deleted && vma.shared && links > 0 {
                    return Some("it was removed, and has another name, which is not known");
                }
                vma.kind = if file.deleted { VmaKind::Object } else { VmaKind::File };
                vma.file = Some(file);
            }
        }
        None
    }

    fn look(&self, path: &[u8], file: &FileRef, vma: &Vma) -> Known {
        let link = floe_proc::map_file_path(self.pid, vma.start.0, vma.end.0);
        // Behind the link is the inode that stat(2) knows; maps shows what lies below an overlay.
        let meta = match std::fs::metadata(&link) {
            // Removed or renamed over on an AUFS: only the pages of the mapping still show it.
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => return Known::Hidden,
            meta => meta.ok(),
        };
        if let Some(kind) = meta.as_ref().map(std::fs::Metadata::file_type)
            && (kind.is_char_device() || kind.is_block_device())
            && path != b"/dev/zero"
        {
            return Known::Blocked("mappings of devices cannot be captured");
        }
        let links = meta.as_ref().map_or(0, MetadataExt::nlink);
        let (dev, ino) = meta.map_or((file.dev, file.ino), |m| (m.dev(), m.ino()));
        let (path, deleted) = self.root.without_suffix(path.to_vec(), dev, ino);
        // Something may have been mounted over it since.
        if !deleted && !self.root.leads_to(&path, dev, ino) && !may_be_of_a_union(&link) {
            return Known::Hidden;
        }
        let (path, outside) = self.root.below(path);
        let path = path.into();
        Known::File(FileRef { path, outside, dev, ino, mnt_id: None, deleted }, links)
    }
}

/// Whether the inode behind a mapping may well be another one than its path leads to: of files of a union, or of a
/// branch of AUFS. What becomes of them is the business of `aufsfix`.
fn may_be_of_a_union(link: &Path) -> bool {
    let kinds = [nix::sys::statfs::OVERLAYFS_SUPER_MAGIC, AUFS_SUPER_MAGIC];
    let has_aufs = || {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        known.lines().any(|line| line.ends_with("\taufs"))
    };
    nix::sys::statfs::statfs(link).map_or(true, |about| kinds.contains(&about.filesystem_type()))
        || has_aufs()
}

/// `linux/aufs_type.h`.
const AUFS_SUPER_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x6175_6673);

fn blocked_flags(flags: &[u8]) -> Option<&'static str> {
    flags.as_chunks::<2>().0.iter().find_map(|flag| match flag {
        b"ht" => Some("huge pages of hugetlbfs cannot be captured"),
        b"ss" => Some("shadow stacks cannot be captured"),
        b"sl" => Some("sealed mappings (mseal) cannot be captured"),
        b"um" | b"uw" | b"ui" => Some("userfaultfd watches it"),
        _ => None,
    })
}

fn blocked_path(path: &[u8]) -> Option<&'static str> {
    const TABLE: [(&[u8], &str); 4] = [
        (b"/[aio]", "a ring of asynchronous I/O (io_setup) cannot be captured"),
        (b"/secretmem", "memory of memfd_secret cannot be captured"),
        (b"/anon_hugepage", "huge pages of hugetlbfs cannot be captured"),
        (b"anon_inode:", "mappings of kernel objects cannot be captured"),
    ];
    TABLE.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, problem)| *problem)
}
