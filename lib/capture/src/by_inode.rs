//! The names of files that fdinfo shows by device, inode and handle alone (fs/notify/fdinfo.c).
//!
//! A handle leads to the file as long as the kernel still knows a name of it. Where it does not, where a file system has no
//! handles, and without CAP_DAC_READ_SEARCH, the files that the process has open are compared, then the directories beside
//! them, then all of the mount. Directories are read then, which is an event (IN_ACCESS) to whom it is of interest.

use crate::{
    Result,
    descriptor_of::{Descriptor, Problem},
    inode::Inode,
    on_mounts,
    path::{Root, of_a_process, parent},
};
use floe_proc::Fdinfo;
use floe_records::FileRef;
use floe_sys::{Error, inotify_add_watch, inotify_rm_watch, open_by_handle};
use floe_unions::Mount;
use nix::{
    fcntl::{AT_FDCWD, OFlag},
    sys::stat::fstat,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::CString,
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::DirEntryExt},
    },
};

/// Entries of directories that are read to find the files of one descriptor: some tenths of a second.
const MOST_ENTRIES: usize = 200_000;

/// A file as fdinfo shows it. The device is that of the file system, which may be another one than stat(2) shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    pub dev: u64,
    pub ino: u64,
    /// Type and bytes.
    pub handle: Option<(i32, Vec<u8>)>,
}

impl Shown {
    /// Of a line: `… ino:2d sdev:fe00001 … fhandle-bytes:8 fhandle-type:1 f_handle:2d00000079b10c88`.
    pub fn parse(line: &str) -> Option<Self> {
        let value =
            |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
        let hex = |key| u64::from_str_radix(value(key)?, 16).ok();
        let dev = device(hex("sdev")?);
        let handle = match value("f_handle") {
            None => None,
            Some(bytes) => Some((hex("fhandle-type")? as i32, bytes_of(bytes)?)),
        };
        Some(Self { dev, ino: hex("ino")?, handle })
    }

    /// What tells it from others.
    pub fn key(&self) -> Key {
        (self.dev, self.ino)
    }
}

/// A device as the kernel packs it for itself (MKDEV of include/linux/kdev_t.h).
pub(crate) fn device(sdev: u64) -> u64 {
    libc::makedev((sdev >> 20) as u32, (sdev & 0xf_ffff) as u32)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Device of the file system, and inode.
pub(crate) type Key = (u64, u64);

/// A file that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The path as we see it.
    pub path: Vec<u8>,
    /// No name leads to it any more; the path is the last one.
    pub removed: bool,
    pub stat: Inode,
    pub mnt_id: u32,
}

/// What the user can do about a file of which the kernel has forgotten the name.
const LOOK: &str = "have anything look it up, `stat FILE`, so that the kernel knows its name again";

/// The name of a file that `what` is on, which may be the last one, or why it has none.
pub(crate) fn name(
    seen: &Descriptor<'_>,
    shown: &Shown,
    found: Option<&Found>,
    (rule, what): (&'static str, &str),
) -> Result<FileRef, Problem> {
    let refuse = |problem: String, hint| Err(Problem::Refused(rule, problem, hint));
    let Some(found) = found else {
        let (major, minor) = (libc::major(shown.dev), libc::minor(shown.dev));
        let device = format!("inode {} of device {major}:{minor}", shown.ino);
        return refuse(format!("no path is found for {what} ({device})"), LOOK);
    };
    if of_a_process(&found.path) {
        return refuse(format!("{what} is on a file of a process in /proc"), "");
    }
    let (path, outside) = seen.root().below(found.path.clone());
    let (dev, ino, mnt_id) = (found.stat.dev, found.stat.ino, Some(found.mnt_id));
    Ok(FileRef { path: path.into(), outside, dev, ino, mnt_id, deleted: found.removed })
}

/// The problem with a file that was removed and is not made again by restore.
pub(crate) fn removed(name: &FileRef, what: &str) -> String {
    format!("{what} is on a file that was removed, {}", name.path)
}

/// An error of the search, which is one of a descriptor.
pub(crate) fn problem(rule: &'static str, error: crate::Error) -> Problem {
    match error {
        crate::Error::Sys(error) | crate::Error::NotPermitted(_, error) => error.into(),
        crate::Error::Refused(refusals) => Problem::new(rule, refusals.to_string()),
    }
}

/// Finds files that a descriptor leads to, by their devices and inodes. Those that cannot be found are missing.
pub(crate) fn find(seen: &Descriptor<'_>, all: &[Shown]) -> Result<BTreeMap<Key, Found>> {
    let wanted = all.iter().map(|shown| (shown.key(), shown)).collect();
    let mut search = Search {
        pid: seen.pid,
        root: seen.root(),
        wanted,
        found: BTreeMap::new(),
        left: MOST_ENTRIES,
    };
    if search.wanted.is_empty() {
        return Ok(search.found);
    }
    let mounts = search.mounts()?;
    search.by_handles(&mounts)?;
    if !search.wanted.is_empty() {
        let probe = Probe::new()?;
        let near = search.open_files(&probe)?;
        search.beside(near, &probe);
        search.everywhere(&mounts, &probe);
    }
    Ok(search.found)
}

struct Search<'a> {
    pid: u32,
    root: &'a Root,
    wanted: BTreeMap<Key, &'a Shown>,
    found: BTreeMap<Key, Found>,
    /// Entries that may still be read.
    left: usize,
}

impl Search<'_> {
    /// The mounts that wanted files are on.
    fn mounts(&self) -> Result<Vec<Mount>> {
        let devices: BTreeSet<u64> = self.wanted.keys().map(|(dev, _)| *dev).collect();
        let mut all = on_mounts::seen_by(self.pid, self.root)?;
        all.retain(|mount| devices.contains(&mount.dev));
        Ok(all)
    }

    fn settle(&mut self, key: Key, found: Found) {
        self.wanted.remove(&key);
        self.found.insert(key, found);
    }

    fn by_handles(&mut self, mounts: &[Mount]) -> Result<()> {
        on_mounts::standing_on(self.root, mounts, |mount| self.on_mount(mount))
    }

    fn on_mount(&mut self, mount: &Mount) -> Result<()> {
        let some = self.wanted.range((mount.dev, 0)..=(mount.dev, u64::MAX));
        let mut found = Vec::new();
        for (key, shown) in some {
            let Some((kind, bytes)) = &shown.handle else { continue };
            // Else it is none of this file system, its file is gone, or we may not.
            if let Ok(file) = open_by_handle(AT_FDCWD, *kind, bytes) {
                found.extend(self.describe(file.as_fd())?.map(|found| (*key, found)));
            }
        }
        found.into_iter().for_each(|(key, found)| self.settle(key, found));
        Ok(())
    }

    /// What is open, where it has or had a name that the process can reach.
    fn describe(&self, file: BorrowedFd<'_>) -> Result<Option<Found>> {
        let fail = |e| Error::new("look at a file", e);
        let link = floe_proc::link(std::process::id(), &format!("fd/{}", file.as_raw_fd()))?;
        let stat = Inode::of(&fstat(file).map_err(fail)?);
        let (path, removed) = self.root.beside(link, stat.dev, stat.ino);
        if !removed && !self.root.leads_to(&path, stat.dev, stat.ino) {
            return Ok(None);
        }
        let mnt_id = Fdinfo::of_own(file)?.mnt_id;
        Ok(Some(Found { path, removed, stat, mnt_id }))
    }

    /// Looks at what the process has open, and where it is. Gives the directories of all that.
    fn open_files(&mut self, probe: &Probe) -> Result<BTreeSet<Vec<u8>>> {
        let mut near = BTreeSet::new();
        let fds = floe_proc::numbers_in(floe_proc::path(self.pid, "fd"))?;
        let fds = fds.into_iter().map(|fd| format!("fd/{fd}"));
        for name in ["cwd", "root", "exe"].map(String::from).into_iter().chain(fds) {
            let Ok(link) = floe_proc::link(self.pid, &name) else { continue };
            let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
            let path = floe_proc::path(self.pid, &name);
            let opened = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty());
            let Some(file) = opened.ok().filter(|_| link.starts_with(b"/")) else { continue };
            self.compare(file.as_fd(), probe)?;
            near.extend(parent(&link).map(<[u8]>::to_vec));
            let is_dir = fstat(&file).is_ok_and(|stat| Inode::of(&stat).is_dir());
            near.extend(is_dir.then_some(link));
        }
        for found in self.found.values().filter(|found| !found.removed) {
            near.extend(parent(&found.path).map(<[u8]>::to_vec));
            near.extend(found.stat.is_dir().then(|| found.path.clone()));
        }
        Ok(near)
    }

    /// Whether a file is one of those that are wanted.
    fn compare(&mut self, file: BorrowedFd<'_>, probe: &Probe) -> Result<()> {
        if let Some(key) = probe.shown(file).map(|shown| shown.key())
            && self.wanted.contains_key(&key)
            && let Some(found) = self.describe(file)?
        {
            self.settle(key, found);
        }
        Ok(())
    }

    /// Looks into directories, but not below them.
    fn beside(&mut self, dirs: BTreeSet<Vec<u8>>, probe: &Probe) {
        for dir in dirs {
            self.read(&dir, probe);
        }
    }

    /// Looks everywhere on the mounts, near the top first.
    fn everywhere(&mut self, mounts: &[Mount], probe: &Probe) {
        for mount in mounts {
            let is_on = |key: &&Key| key.0 == mount.dev;
            if !self.wanted.keys().any(|key| is_on(&key)) {
                continue;
            }
            let Ok(Some(place)) = on_mounts::place(self.root, mount) else { continue };
            let Ok(top) = fstat(&place) else { continue };
            // The top itself is in no directory of the mount.
            let _ = self.compare(place.as_fd(), probe);
            let mut dirs = VecDeque::from([mount.point.clone()]);
            while let Some(dir) = dirs.pop_front() {
                let Some((dev, below)) = self.read(&dir, probe) else { continue };
                if dev == top.st_dev {
                    dirs.extend(below);
                }
            }
        }
    }

    /// Compares what is in a directory; gives its device and the directories in it. `None` for one that cannot be read, and
    /// when enough has been read.
    fn read(&mut self, dir: &[u8], probe: &Probe) -> Option<(u64, Vec<Vec<u8>>)> {
        if self.wanted.is_empty() || self.left == 0 {
            return None;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let open = self.root.open(dir, flags).ok()?;
        let dev = fstat(&open).ok()?.st_dev;
        let mut below = Vec::new();
        let own = floe_proc::fd_path(std::process::id(), open.as_raw_fd() as u32);
        for entry in fs::read_dir(own).ok()?.flatten() {
            self.left = self.left.checked_sub(1)?;
            let name = entry.file_name();
            let between: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
            let path = || [dir, between, name.as_bytes()].concat();
            if self.wanted.keys().any(|(_, ino)| *ino == entry.ino())
                && let Ok(file) = self.root.open(&path(), OFlag::O_PATH | OFlag::O_NOFOLLOW)
            {
                self.compare(file.as_fd(), probe).ok()?;
            }
            below.extend(entry.file_type().is_ok_and(|kind| kind.is_dir()).then(path));
        }
        Some((dev, below))
    }
}

/// Tells how fdinfo shows a file: by watching it, for what no process does.
struct Probe(OwnedFd);

impl Probe {
    fn new() -> Result<Self> {
        Ok(Self(floe_sys::inotify()?))
    }

    /// `None` for a file that we may not read.
    fn shown(&self, file: BorrowedFd<'_>) -> Option<Shown> {
        let link = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let watch = inotify_add_watch(self.0.as_fd(), &link, libc::IN_UNMOUNT).ok()?;
        let info = Fdinfo::of_own(self.0.as_fd()).ok();
        inotify_rm_watch(self.0.as_fd(), watch).ok()?;
        let info = info?;
        Shown::parse(std::str::from_utf8(info.line("inotify wd")?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = "c ino:b16078 sdev:fe00001 mask:4 ignored_mask:0 ";
        let bare = Shown { dev: libc::makedev(0xfe, 1), ino: 0xb1_6078, handle: None };
        assert_eq!(Shown::parse(line), Some(bare.clone()));
        let handle = format!("{line}fhandle-bytes:4 fhandle-type:81 f_handle:7860b1ff");
        let with = Shown { handle: Some((0x81, vec![0x78, 0x60, 0xb1, 0xff])), ..bare };
        assert_eq!(Shown::parse(&handle), Some(with));
        for odd in ["", "ino:1", "sdev:1", "ino:x sdev:1", "ino:1 sdev:1 f_handle:00"] {
            assert_eq!(Shown::parse(odd), None, "{odd}");
        }
        let odd = "ino:1 sdev:1 fhandle-type:1 f_handle:";
        assert!(
            ["0", "0x", "+1é"].iter().all(|end| Shown::parse(&format!("{odd}{end}")).is_none())
        );
    }

    /// Searches for a file of ours as for one of a process that watches it.
    fn search(root: &Root, file: &fs::File, with_handle: bool) -> Option<Found> {
        let probe = Probe::new().unwrap();
        let mut shown = probe.shown(file.as_fd()).unwrap();
        if !with_handle {
            shown.handle = None;
        }
        let wanted = BTreeMap::from([(shown.key(), &shown)]);
        let (pid, found) = (std::process::id(), BTreeMap::new());
        let mut search = Search { pid, root, wanted, found, left: MOST_ENTRIES };
        let mounts = search.mounts().unwrap();
        if with_handle {
            search.by_handles(&mounts).unwrap();
        } else {
            search.everywhere(&mounts, &probe);
        }
        search.found.remove(&shown.key())
    }

    /// As root: handles need CAP_DAC_READ_SEARCH.
    #[test]
    fn files_are_found_with_and_without_handles() {
        let root = Root::of(std::process::id()).unwrap();
        let dir =
            fs::canonicalize("/dev/shm").unwrap().join(format!("floe-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("file");
        let file = fs::File::create(&path).unwrap();
        for with_handle in [true, false] {
            let found = search(&root, &file, with_handle).expect("it is found");
            assert_eq!((&found.path[..], found.removed), (path.as_os_str().as_bytes(), false));
            let open = fs::File::open(&dir).unwrap();
            let found = search(&root, &open, with_handle).expect("the directory is found");
            assert_eq!(found.path, dir.as_os_str().as_bytes());
        }
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(search(&root, &file, false), None);
        assert!(search(&root, &file, true).is_none_or(|found| found.removed));
    }
}
