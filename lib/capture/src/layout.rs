//! The VMAs of an address space from /proc/PID/smaps, and which of them cannot be captured.

use crate::{Result, memory::Scanner, path as paths};
use floe_proc::{Mapping, SmapsEntry};
use floe_records::{Addr, FileRef, Finding, Pid, Vma, VmaKind};
use std::{
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

/// Reads the layout of a process.
pub fn layout(pid: u32) -> Result<Layout> {
    let root = paths::root_path(pid)?;
    let mut layout = Layout::default();
    for SmapsEntry { mapping, mut flags, rss, protection_key } in floe_proc::smaps(pid)? {
        lock_on_fault(&mut flags, &mapping, rss);
        let (path, mut vma) = vma(mapping, flags);
        if vma.has(b"gu") {
            let found = Scanner::new(pid)?.look(vma.start.0..vma.end.0)?;
            vma.guards = found.guards.iter().map(|g| (Addr(g.start), Addr(g.end))).collect();
        }
        classify(pid, &root, path, vma, protection_key != 0, &mut layout);
    }
    Ok(layout)
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
        file: Some(FileRef { path, outside: false, dev, ino, mnt_id: None, deleted: false }),
        name: None,
        flags: flags.into(),
        guards: Vec::new(),
    };
    (name, vma)
}

fn classify(pid: u32, root: &[u8], path: Vec<u8>, mut vma: Vma, key: bool, layout: &mut Layout) {
    let file = vma.file.take();
    let problem = key.then_some("memory with a protection key (pkeys(7)) cannot be captured");
    let problem = problem.or_else(|| blocked_flags(&vma.flags.0)).or_else(|| blocked_path(&path));
    let problem = problem.or_else(|| {
        let (inner, bracketed) = match path.strip_prefix(b"[").and_then(|p| p.strip_suffix(b"]")) {
            Some(inner) => (inner, true),
            None => (&path[..], false),
        };
        if bracketed {
            vma.name = Some(inner.into());
        }
        match inner {
            b"vdso" if bracketed => vma.kind = VmaKind::Vdso,
            b"vsyscall" if bracketed => vma.kind = VmaKind::Vsyscall,
            b"uprobes" if bracketed => return Some("a uprobe is set in it"),
            _ if bracketed && inner.starts_with(b"vvar") => vma.kind = VmaKind::Vvar,
            // Named shared anonymous memory is a file without a name as well.
            _ if path.is_empty() || bracketed => {
                if vma.shared {
                    vma.kind = VmaKind::Object;
                    vma.file =
                        file.map(|f| FileRef { path: b"/dev/zero"[..].into(), deleted: true, ..f });
                }
            }
            _ => {
                let file = file.as_ref()?;
                return file_vma(pid, root, path.clone(), file, &mut vma);
            }
        }
        None
    });
    if let Some(problem) = problem {
        let name = String::from_utf8_lossy(&path);
        let range = format!("{:x}-{:x} {name}", vma.start.0, vma.end.0).trim_end().to_owned();
        let finding = Finding::of(Pid(pid), range, "mapping", problem);
        layout.refusals.push(finding.hint("have the program unmap it first"));
    }
    layout.vmas.push(vma);
}

/// Fills in kind and file of a VMA with a path.
fn file_vma(
    pid: u32,
    root: &[u8],
    path: Vec<u8>,
    file: &FileRef,
    vma: &mut Vma,
) -> Option<&'static str> {
    let link = floe_proc::map_file_path(pid, vma.start.0, vma.end.0);
    // Behind the link is the inode that stat(2) knows; maps shows what lies below an overlay.
    let meta = std::fs::metadata(&link).ok();
    if let Some(kind) = meta.as_ref().map(std::fs::Metadata::file_type)
        && (kind.is_char_device() || kind.is_block_device())
        && path != b"/dev/zero"
    {
        return Some("mappings of devices cannot be captured");
    }
    let links = meta.as_ref().map_or(0, MetadataExt::nlink);
    let (dev, ino) = meta.map_or((file.dev, file.ino), |m| (m.dev(), m.ino()));
    let (path, deleted) = paths::without_suffix(pid, path, dev, ino);
    if deleted && vma.shared && links > 0 {
        return Some("it was removed, and has another name, which is not known");
    }
    if !deleted && !paths::leads_to(pid, &path, dev, ino) && !may_be_of_a_union(&link) {
        // Something was mounted over it since.
        vma.kind = VmaKind::Detached;
        return vma.shared.then_some("its path leads to another file by now");
    }
    let (path, outside) = paths::below_root(path, root);
    vma.kind = if deleted { VmaKind::Object } else { VmaKind::File };
    vma.file = Some(FileRef { path: path.into(), outside, dev, ino, mnt_id: None, deleted });
    None
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
    const TABLE: [(&[u8], &str); 5] = [
        (b"/SYSV", "System V shared memory cannot be captured"),
        (b"/[aio]", "a ring of asynchronous I/O (io_setup) cannot be captured"),
        (b"/secretmem", "memory of memfd_secret cannot be captured"),
        (b"/anon_hugepage", "huge pages of hugetlbfs cannot be captured"),
        (b"anon_inode:", "mappings of kernel objects cannot be captured"),
    ];
    TABLE.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, problem)| *problem)
}
