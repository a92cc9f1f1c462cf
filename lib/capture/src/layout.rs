//! The VMAs of an address space from /proc/PID/smaps, and which of them cannot be captured.

use crate::{Result, memory::Scanner, path as paths, proc};
use floe_records::{Addr, FileRef, Finding, Pid, Vma, VmaKind};
use std::{
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
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
    let text = proc::read(pid, "smaps")?;
    let root = paths::root_path(pid)?;
    let mut layout = Layout::default();
    let (mut head, mut key, mut resident) = (None::<Vma>, false, 0);
    let broken = || proc::unable(pid, "smaps", io::Error::other("unknown form"));
    for line in text.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            let mut vma = head.take().ok_or_else(broken)?;
            vma.flags = flags.iter().copied().filter(|b| *b != b' ').collect::<Vec<_>>().into();
            lock_on_fault(&mut vma, resident);
            if vma.has(b"gu") {
                let found = Scanner::new(pid)?.look(vma.start.0..vma.end.0)?;
                vma.guards = found.guards.iter().map(|g| (Addr(g.start), Addr(g.end))).collect();
            }
            classify(pid, &root, vma, std::mem::take(&mut key), &mut layout);
        } else if let Some(size) = line.strip_prefix(b"Rss:") {
            resident = kibibytes(size).ok_or_else(broken)?;
        } else if let Some(number) = line.strip_prefix(b"ProtectionKey:") {
            key = number.trim_ascii() != b"0";
        } else if line.first().is_some_and(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)) {
            head = Some(parse(line).ok_or_else(broken)?);
        }
    }
    Ok(layout)
}

/// A size in smaps (`  132 kB`), in KiB.
fn kibibytes(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

/// Older kernels do not show `lf` (MLOCK_ONFAULT of mlock2(2)). Locked memory that is not all there can be had by no
/// other lock.
fn lock_on_fault(vma: &mut Vma, resident: u64) {
    if vma.has(b"lo") && !vma.has(b"lf") && resident < (vma.end.0 - vma.start.0) >> 10 {
        vma.flags.0.extend(b"lf");
    }
}

/// The heading of a VMA; its path is put into `name` for the moment.
fn parse(line: &[u8]) -> Option<Vma> {
    let mut rest = line;
    let mut word = || {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        std::str::from_utf8(word).ok()
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let perms = word()?.as_bytes();
    let (offset, (major, minor), ino) = (word()?, word()?.split_once(':')?, word()?);
    let ino = ino.parse().ok()?;
    let dev = libc::makedev(hex(major)? as u32, hex(minor)? as u32);
    let path = floe_unions::newlines(rest.trim_ascii_start());
    let bit = |at: usize, letter: u8, bit: u8| if perms.get(at) == Some(&letter) { bit } else { 0 };
    Some(Vma {
        start: Addr(hex(start)?),
        end: Addr(hex(end)?),
        prot: bit(0, b'r', 1) | bit(1, b'w', 2) | bit(2, b'x', 4),
        shared: perms.get(3) == Some(&b's'),
        kind: VmaKind::Anon,
        offset: hex(offset)?,
        file: Some(FileRef {
            path: path.clone().into(),
            outside: false,
            dev,
            ino,
            mnt_id: None,
            deleted: false,
        }),
        name: (!path.is_empty()).then(|| path.into()),
        flags: Vec::new().into(),
        guards: Vec::new(),
    })
}

fn classify(pid: u32, root: &[u8], mut vma: Vma, key: bool, layout: &mut Layout) {
    let path = vma.name.take().map_or_else(Vec::new, |n| n.0);
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
    let link = format!("/proc/{pid}/map_files/{:x}-{:x}", vma.start.0, vma.end.0);
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
fn may_be_of_a_union(link: &str) -> bool {
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
