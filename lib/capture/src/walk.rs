//! Reading the directories of a file system, to find names of files by their inodes.

use crate::path::{Root, parent};
use nix::{fcntl::OFlag, sys::stat::fstat};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    fs,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::DirEntryExt},
    },
    time::Instant,
};

/// Device and inode.
pub(crate) type File = (u64, u64);

/// Entries of a directory after which the time is looked at.
const ENTRIES: usize = 4096;

/// A walk through what is below some directories of one file system.
pub(crate) struct Walk<'a> {
    pub root: &'a Root,
    /// Devices that directories of the file system have.
    pub devices: &'a BTreeSet<u64>,
    /// Where something is mounted. Nothing is mounted by a walk, and no server is asked that does not answer.
    pub points: &'a BTreeSet<Vec<u8>>,
    /// Whether a name that lies outside of the root of the process is of use.
    pub outside: bool,
    /// What is looked for.
    pub wanted: BTreeSet<File>,
    /// What was found, by paths as we see them.
    pub found: BTreeMap<File, Vec<u8>>,
    /// When the walk ends at the latest.
    pub until: Instant,
    seen: HashSet<File>,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun.
    pub fn new(
        root: &'a Root,
        (devices, points): (&'a BTreeSet<u64>, &'a BTreeSet<Vec<u8>>),
        outside: bool,
        wanted: BTreeSet<File>,
        until: Instant,
    ) -> Self {
        let (found, seen) = (BTreeMap::new(), HashSet::new());
        Self { root, devices, points, outside, wanted, found, until, seen }
    }

    /// Whether the time is over.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Looks below each of these directories, then below the one that each lies in, and so on.
    pub fn around(&mut self, mut tops: BTreeSet<Vec<u8>>) {
        while !tops.is_empty() && !self.is_over() {
            tops.iter().for_each(|top| self.below(top));
            let up = |top: &Vec<u8>| parent(top).filter(|up| up != top).map(<[u8]>::to_vec);
            tops = tops.iter().filter_map(up).collect();
        }
    }

    /// Looks everywhere below a directory, near the top first.
    pub fn below(&mut self, top: &[u8]) {
        let mut dirs = VecDeque::from([top.to_vec()]);
        while let Some(dir) = dirs.pop_front() {
            if self.is_over() {
                return;
            }
            let below = self.read(&dir).unwrap_or_default();
            dirs.extend(below.into_iter().filter(|dir| !self.points.contains(dir)));
        }
    }

    fn is_over(&self) -> bool {
        self.wanted.is_empty() || self.is_late()
    }

    /// Compares what is in a directory; gives the directories in it. `None` for one that cannot be read, that is of another file
    /// system, or that has been read.
    fn read(&mut self, dir: &[u8]) -> Option<Vec<Vec<u8>>> {
        if !self.outside && self.root.below(dir.to_vec()).1 {
            return None;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let again = |_| self.root.open(dir, flags);
        let open = self.root.open(dir, flags | OFlag::O_NOATIME).or_else(again).ok()?;
        let stat = fstat(&open).ok()?;
        if !self.devices.contains(&stat.st_dev) || !self.seen.insert((stat.st_dev, stat.st_ino)) {
            return None;
        }
        let own = floe_proc::fd_path(std::process::id(), open.as_raw_fd() as u32);
        let between: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
        let mut below = Vec::new();
        for (at, entry) in fs::read_dir(own).ok()?.flatten().enumerate() {
            if at % ENTRIES == ENTRIES - 1 && self.is_over() {
                return None;
            }
            let name = entry.file_name();
            let path = || [dir, between, name.as_bytes()].concat();
            let ino = entry.ino();
            if let Some(file) = self.wanted.iter().find(|file| file.1 == ino).copied() {
                self.compare(file, path());
            }
            below.extend(entry.file_type().is_ok_and(|kind| kind.is_dir()).then(path));
        }
        Some(below)
    }

    fn compare(&mut self, file: File, path: Vec<u8>) {
        if self.root.leads_to(&path, file.0, file.1) {
            self.wanted.remove(&file);
            self.found.insert(file, path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::MetadataExt, time::Duration};

    fn walk(
        dir: &std::path::Path,
        top: &[u8],
        points: &BTreeSet<Vec<u8>>,
        time: u64,
    ) -> Vec<Vec<u8>> {
        let root = Root::of(std::process::id()).unwrap();
        let meta = fs::metadata(dir.join("a/b/file")).unwrap();
        let (file, devices) = ((meta.dev(), meta.ino()), BTreeSet::from([meta.dev()]));
        let until = Instant::now() + Duration::from_secs(time);
        let mut walk = Walk::new(&root, (&devices, points), true, BTreeSet::from([file]), until);
        walk.around(BTreeSet::from([top.to_vec()]));
        assert_eq!(walk.wanted.is_empty(), !walk.found.is_empty());
        walk.found.into_values().collect()
    }

    #[test]
    fn a_name_is_found_below_and_above() {
        let dir = fs::canonicalize("/dev/shm").unwrap();
        let dir = dir.join(format!("floe-walk-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::create_dir_all(dir.join("c/d")).unwrap();
        let name = dir.join("a/b/file");
        fs::write(&name, b"").unwrap();
        let bytes = |path: &std::path::Path| path.as_os_str().as_bytes().to_vec();
        let none = BTreeSet::new();
        for top in [dir.clone(), dir.join("c/d"), dir.join("gone"), dir.join("a/b")] {
            assert_eq!(walk(&dir, &bytes(&top), &none, 60), [bytes(&name)], "{}", top.display());
        }
        let hidden = BTreeSet::from([bytes(&dir.join("a"))]);
        assert!(walk(&dir, &bytes(&dir.join("c")), &hidden, 60).is_empty());
        assert!(walk(&dir, &bytes(&dir), &none, 0).is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
