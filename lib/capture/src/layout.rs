//! The VMAs of an address space from /proc/PID/smaps, and which of them cannot be captured.

use crate::{
    Result,
    memory::{SECRET, Scanner, is_secret, secret_size},
    other_names::{self, Lost},
    path::Root,
    tracking,
};
use floe_proc::{Mapping, SmapsEntry};
use floe_records::{
    Addr, FileRef, Finding, HugePages, NsId, NsKind, Pid, SEGMENTS, Vma, VmaKind, segments_below,
};
use std::{
    collections::{BTreeMap, HashMap},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

/// VMAs and what stands in their way.
#[derive(Debug, Default)]
pub struct Layout {
    /// Ascending.
    pub vmas: Vec<Vma>,
    /// Those that cannot be captured.
    pub refusals: Vec<Finding>,
    /// Properties of the others that do not come back.
    pub losses: Vec<Finding>,
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

/// Reads the layout of a process; `whole`: also what no refusal goes by.
pub(crate) fn layout(pid: u32, root: &Root, whole: bool) -> Result<Layout> {
    let mut files = Files { pid, root, known: HashMap::new(), shown: Vec::new() };
    let (mut layout, mut scanner) = (Layout::default(), None);
    for mut entry in floe_proc::smaps(pid)? {
        lock_on_fault(&mut entry);
        let anon_huge = entry.anon_huge;
        let (path, mut vma) = vma(entry);
        if anon_huge > 0 && !vma.has(b"hg") {
            let found = opened(&mut scanner, pid)?.collapsed(vma.start.0..vma.end.0)?;
            vma.collapsed = found.iter().map(|run| (Addr(run.start), Addr(run.end))).collect();
        }
        if vma.has(b"gu") {
            let found = opened(&mut scanner, pid)?.look(vma.start.0..vma.end.0)?;
            vma.guards = found.guards.iter().map(|g| (Addr(g.start), Addr(g.end))).collect();
        }
        let problem = problem(&mut files, &path, &mut vma);
        let finding = |rule: &str, problem: String| {
            let name = String::from_utf8_lossy(&path);
            let range = format!("{:x}-{:x} {name}", vma.start.0, vma.end.0).trim_end().to_owned();
            Finding::of(Pid(pid), range, rule, problem)
        };
        match problem {
            Some(problem) => {
                let finding = finding("mapping", problem.to_owned());
                let hint = match problem {
                    WATCHED => "after restore --lazy: wait until floe-pager has ended",
                    _ => "have the program unmap it first",
                };
                layout.refusals.push(finding.hint(hint));
            }
            None => {
                let lost = lost_flags(&vma).into_iter();
                layout.losses.extend(lost.map(|problem| finding("mapping.flag", problem)));
                let shown = files.shown.drain(..);
                layout.losses.extend(shown.map(|problem| finding("file.name", problem)));
            }
        }
        let asks = whole && vma.file.is_some() && !vma.shared;
        vma.opened_to_write = asks && opened_to_write(pid, &vma)?;
        layout.vmas.push(vma);
    }
    partly_mapped(pid, &mut layout)?;
    Ok(layout)
}

/// The one scanner of a process, made when it is wanted.
fn opened(scanner: &mut Option<Scanner>, pid: u32) -> Result<&Scanner> {
    match scanner {
        Some(scanner) => Ok(scanner),
        None => Ok(scanner.insert(Scanner::new(pid)?)),
    }
}

/// Notes memory of memfd_secret of which the process does not map all: nobody else can read the rest.
fn partly_mapped(pid: u32, layout: &mut Layout) -> Result<()> {
    let mut ends: BTreeMap<u64, (u64, &Vma)> = BTreeMap::new();
    let mut secret: Vec<&Vma> = layout.vmas.iter().filter(|vma| is_secret(vma)).collect();
    secret.sort_by_key(|vma| vma.offset);
    for vma in secret {
        let ino = vma.file.as_ref().map_or(0, |file| file.ino);
        let (end, _) = ends.entry(ino).or_insert((0, vma));
        if vma.offset <= *end {
            *end = (*end).max(vma.offset + vma.end.0 - vma.start.0);
        }
    }
    for (end, vma) in ends.into_values() {
        if end < secret_size(pid, vma)? {
            let range = format!("{:x}-{:x} /secretmem", vma.start.0, vma.end.0);
            let problem = "memory of memfd_secret that is mapped in part cannot be captured";
            layout.refusals.push(Finding::of(Pid(pid), range, "mapping.secret", problem));
        }
    }
    Ok(())
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
fn lock_on_fault(entry: &mut SmapsEntry) {
    if entry.has(b"lo") && !entry.has(b"lf") && entry.rss < entry.mapping.size() {
        entry.flags.extend(b"lf");
    }
}

/// A VMA whose kind is not known yet, and its path.
fn vma(entry: SmapsEntry) -> (Vec<u8>, Vma) {
    let (size, hugetlb) = (entry.page_size, entry.hugetlb);
    let huge = entry.has(b"ht").then(|| HugePages { size, present: hugetlb / size.max(1) });
    let Mapping { start, end, prot, shared, offset, dev, ino, name } = entry.mapping;
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
        flags: entry.flags.into(),
        guards: Vec::new(),
        collapsed: Vec::new(),
        huge,
        key: entry.protection_key as u8,
    };
    (name, vma)
}

/// What the kernel calls an io_uring instance.
const RING: &[u8] = b"anon_inode:[io_uring]";
/// What the kernel calls the file behind anonymous huge pages.
const NO_FILE: &[u8] = b"/anon_hugepage (deleted)";

/// Completes a VMA; gives why it cannot be captured.
fn problem(files: &mut Files<'_>, path: &[u8], vma: &mut Vma) -> Option<&'static str> {
    let file = vma.file.take();
    if vma.has(b"uw") && tracking::is_ours(files.pid, vma.start.0, vma.end.0) {
        let flags = vma.flags.0.as_chunks::<2>().0.iter().filter(|flag| *flag != b"uw");
        vma.flags = flags.copied().collect::<Vec<_>>().concat().into();
    }
    let blocked = blocked_flags(&vma.flags.0).or_else(|| blocked_path(path));
    if blocked.is_some() {
        return blocked;
    }
    if vma.huge.is_some() && path == NO_FILE {
        // Its pages are in no file, as those of ordinary memory are not, unless it is shared.
        vma.kind = if vma.shared { VmaKind::Object } else { VmaKind::Anon };
        let named = |f| FileRef { path: b"/dev/zero"[..].into(), deleted: true, ..f };
        vma.file = file.filter(|_| vma.shared).map(named);
        return None;
    }
    if path.strip_suffix(b" (deleted)") == Some(SECRET) {
        vma.kind = VmaKind::Object;
        vma.file = file.map(|f| FileRef { path: SECRET.into(), deleted: true, ..f });
        let no = "memory of memfd_secret that its process may not read cannot be captured";
        return (vma.prot & 1 == 0).then_some(no);
    }
    if path == b"/[aio] (deleted)" && vma.shared {
        vma.kind = VmaKind::Aio;
        return None;
    }
    if path == RING && vma.shared {
        vma.kind = VmaKind::Ring;
        vma.file =
            file.map(|f| FileRef { path: b"/[io_uring]"[..].into(), dev: 0, deleted: true, ..f });
        return None;
    }
    if path == RING {
        return Some("private mappings of an io_uring instance cannot be captured");
    }
    if path.starts_with(b"/SYSV") {
        vma.kind = VmaKind::Object;
        let name = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let dev = segments_of(files.pid);
        vma.file = file.map(|f| FileRef { path: name.into(), dev, deleted: true, ..f });
        return None;
    }
    let inner = path.strip_prefix(b"[").and_then(|path| path.strip_suffix(b"]"));
    vma.name = inner.map(Into::into);
    match inner {
        Some(inner) if inner.starts_with(b"v") && vma.has(b"sl") && inner != b"vsyscall" => {
            return Some("the kernel has sealed it (CONFIG_MSEAL_SYSTEM_MAPPINGS)");
        }
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

/// What takes the place of the device of segments that a process maps.
pub(crate) fn segments_of(pid: u32) -> u64 {
    let space = |pid| floe_proc::namespace(pid, NsKind::Ipc.name()).ok().flatten();
    // A process that has just ended is looked at once more.
    match (space(std::process::id()), space(pid)) {
        (Some(own), Some(theirs)) if own != theirs => segments_below(NsId(theirs)),
        _ => SEGMENTS,
    }
}

/// Mapped files of a process. Most are mapped by several VMAs.
struct Files<'a> {
    pid: u32,
    root: &'a Root,
    known: HashMap<(u64, u64, Vec<u8>), Known>,
    /// What is to be said of names.
    shown: Vec<String>,
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
                if file.deleted && links > 0 {
                    let at = floe_proc::map_file_path(self.pid, vma.start.0, vma.end.0);
                    let lost = Lost { at, file: (file.dev, file.ino) };
                    // The content of one that is mapped privately can travel.
                    if vma.shared {
                        return Some(other_names::problem(self.root, lost));
                    }
                    other_names::wish(self.root, lost);
                }
                vma.kind = if file.deleted { VmaKind::Object } else { VmaKind::File };
                vma.file = Some(file);
            }
        }
        None
    }

    fn look(&mut self, path: &[u8], file: &FileRef, vma: &Vma) -> Known {
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
        // The text of /proc/PID/maps does not tell a line end from what it writes for one.
        let exact = path.contains(&b'\n').then(|| std::fs::read_link(&link).ok()).flatten();
        let path = exact.map_or(path.to_vec(), |path| path.into_os_string().into_vec());
        let links = meta.as_ref().map_or(0, MetadataExt::nlink);
        let (dev, ino) = meta.map_or((file.dev, file.ino), |m| (m.dev(), m.ino()));
        let shown = path.clone();
        let (path, deleted) = self.root.without_suffix(path, dev, ino);
        // Something may have been mounted over it since.
        if !deleted && !self.root.leads_to(&path, dev, ino) && !may_be_of_a_union(&link) {
            return Known::Hidden;
        }
        self.shown.extend(other_names::shown(&shown, &path).filter(|_| !deleted));
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

/// Flags of VmFlags (show_smap_vma_flags of fs/proc/task_mmu.c) that come back: protections, and what they may become; sharing and
/// growth; accounting; locks; advice of madvise(2); memory that may be dropped; guards; seals. `sd` belongs to who watches the process.
const KEPT: &[u8] = b"rdwrexshmrmwmemsgdacnrlolfsrrrdcwfddhgnhmgdpgusdsl";

/// In words, the flags that do not come back, those that floe does not know included. What the kernel maps has them from it.
fn lost_flags(vma: &Vma) -> Vec<String> {
    if matches!(vma.kind, VmaKind::Vdso | VmaKind::Vvar | VmaKind::Vsyscall) {
        return Vec::new();
    }
    let kept = KEPT.as_chunks::<2>().0;
    // No mapping of hugetlbfs can be made larger, and no ring.
    let own: &[[u8; 2]] = match vma.kind {
        VmaKind::Aio => &[*b"de"],
        VmaKind::Ring => &[*b"de", *b"mm"],
        _ if vma.huge.is_some() => &[*b"ht", *b"de"],
        _ => &[],
    };
    let lost = vma
        .flags
        .0
        .as_chunks::<2>()
        .0
        .iter()
        .filter(|flag| !kept.contains(flag) && !own.contains(flag));
    let shown = lost.map(|flag| String::from_utf8_lossy(flag));
    shown.map(|flag| format!("its flag \"{flag}\" (VmFlags) is not carried")).collect()
}

/// What is not whole yet, among others.
const WATCHED: &str = "userfaultfd watches it";

fn blocked_flags(flags: &[u8]) -> Option<&'static str> {
    flags.as_chunks::<2>().0.iter().find_map(|flag| match flag {
        b"ss" => Some("shadow stacks cannot be captured"),
        b"um" | b"uw" | b"ui" => Some(WATCHED),
        _ => None,
    })
}

fn blocked_path(path: &[u8]) -> Option<&'static str> {
    let other = path.starts_with(b"anon_inode:") && path != RING;
    other.then_some("mappings of kernel objects cannot be captured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_nobody_knows_are_lost() {
        let mapping = Mapping {
            start: 0x1000,
            end: 0x2000,
            prot: 3,
            shared: false,
            offset: 0,
            dev: 0,
            ino: 0,
            name: Vec::new(),
        };
        let flags = b"rdwrmrmwmeacsrsdxysf".to_vec();
        let (_, mut vma) = vma(SmapsEntry {
            mapping,
            flags,
            rss: 0,
            protection_key: 0,
            page_size: 4096,
            hugetlb: 0,
            anon_huge: 0,
        });
        let lost = lost_flags(&vma);
        let named = |flag: &str| lost.iter().any(|problem| problem.contains(flag));
        assert!(lost.len() == 2 && named("\"xy\"") && named("\"sf\""), "{lost:?}");
        vma.kind = VmaKind::Vvar;
        assert!(lost_flags(&vma).is_empty());
    }
}
