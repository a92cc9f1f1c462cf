//! Files of a file system that travel: of one in memory, or of the root of a container. They are read by way of a detached copy of a
//! mount, so that nothing which is mounted over them is in the way, and the target sees nothing.

use super::{Space, removed};
use crate::{Result, inode};
use floe_mounts::{Mount, below, copied, inside, place, uncovered};
use floe_records::{Bytes, FileTree, NodeKind, TreeFile, TreeNode};
use floe_sys::{Error, attributes_of_path, clone_tree, open_unnoticed, set_mount_attributes};
use nix::sys::stat::{SFlag, fstat};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::PathBuf,
};

/// Bytes of names and attributes that go into one record.
const SOME: usize = 256 << 10;
/// Inode numbers of directories that no mount shows: the kernel gives none from here on.
const HIDDEN: u64 = u64::MAX - (1 << 16);

/// MOUNT_ATTR_NOATIME, and all bits of that choice.
const NOATIME: u64 = 0x10;
const ATIME: u64 = 0x70;

/// A regular file of them.
pub struct Found {
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    top: usize,
    path: Vec<u8>,
}

/// All files of a file system.
pub struct FilesOf {
    /// As records.
    pub trees: Vec<FileTree>,
    /// Those with contents.
    pub regular: Vec<Found>,
    tops: Vec<OwnedFd>,
}

impl FilesOf {
    /// Reads what mounts of these namespaces show of a file system, or of a `part` of it.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn read(dev: u64, part: &[u8], spaces: &[Space]) -> Result<Self> {
        let all = spaces.iter().flat_map(|space| space.mounts.iter().map(move |it| (space, it)));
        let is_of = |mount: &Mount| {
            let shown = floe_unions::below(&mount.root, part).is_some();
            mount.dev == dev && shown && !removed::is_removed(mount)
        };
        let mut all: Vec<(&Space, &Mount)> = all.filter(|(_, mount)| is_of(mount)).collect();
        all.sort_by_key(|(_, mount)| mount.root.len());
        let mut walk = Walk::new(dev);
        let mut roots: Vec<&[u8]> = Vec::new();
        for (space, mount) in all {
            let shown = |root: &&[u8]| floe_unions::below(&mount.root, root).is_some();
            if roots.iter().any(shown) {
                continue;
            }
            roots.push(&mount.root);
            let top = open_copy(space, mount)?;
            // Reading leaves no times behind.
            set_mount_attributes(top.as_fd(), NOATIME, ATIME, 0)?;
            let inner = floe_unions::below(&mount.root, part).filter(|inner| !inner.is_empty());
            walk.mount(top, inner.unwrap_or(b"/"))?;
        }
        Ok(walk.done())
    }

    /// Opens one for reading.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self, file: &Found) -> Result<File> {
        let gone = || Error::because("open a file", "its file system is not there");
        let path = below(self.tops.get(file.top).ok_or_else(gone)?.as_fd(), &file.path)?;
        Ok(open_unnoticed(&link(&path))?)
    }
}

/// A link that leads to it.
pub(super) fn link(file: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// A detached copy of a mount.
pub(super) fn open_copy(space: &Space, mount: &Mount) -> Result<OwnedFd> {
    let plain = inside(space.file.as_fd(), || match mount.unbindable {
        true => Ok(None),
        false => place(mount).map(|place| clone_tree(place.as_fd())).transpose(),
    });
    if let Some(copy) = plain? {
        return Ok(copy);
    }
    // Something covers it, or it cannot be bound. In a namespace of ours that is like this one, that is taken away.
    Ok(copied(space.file.as_fd(), |view| uncovered(mount, view))?)
}

/// A walk through all that is shown.
struct Walk {
    dev: u64,
    trees: Vec<FileTree>,
    files: Vec<TreeFile>,
    /// Bytes of names and attributes in them.
    bytes: usize,
    regular: Vec<Found>,
    tops: Vec<OwnedFd>,
    /// Files with several names that have been seen.
    seen: BTreeSet<u64>,
    /// Directories that no mount shows, by their paths.
    hidden: BTreeMap<Vec<u8>, u64>,
}

impl Walk {
    fn new(dev: u64) -> Self {
        Self {
            dev,
            trees: Vec::new(),
            files: Vec::new(),
            bytes: 0,
            regular: Vec::new(),
            tops: Vec::new(),
            seen: BTreeSet::new(),
            hidden: BTreeMap::new(),
        }
    }

    /// All below the top of a mount, which shows this part.
    fn mount(&mut self, top: OwnedFd, root: &[u8]) -> Result<()> {
        let fail = |e| Error::new("look at a file system", e);
        let at = self.tops.len();
        let (dir, name) = self.above(root);
        let mut next = vec![(Vec::new(), dir, name)];
        let kept = top.try_clone().map_err(|e| Error::new("keep a file system", e))?;
        self.tops.push(kept);
        while let Some((path, dir, name)) = next.pop() {
            let file = below(top.as_fd(), &path)?;
            let ino = fstat(&file).map_err(fail)?.st_ino;
            if !self.file(&file, (at, &path), dir, name)? {
                continue;
            }
            // The last one that is put here comes first. The kernel lists what was made last before all else, so it is made last.
            for name in entries(&file)? {
                let path = [&path[..], b"/", &name].concat();
                if path.len() >= 4000 {
                    let problem = "a path in it is longer than the kernel takes";
                    return Err(Error::because("read a file system in memory", problem).into());
                }
                next.push((path, ino, name));
            }
        }
        Ok(())
    }

    /// The directory above a part of the file system, and the name of that part in it.
    fn above(&mut self, root: &[u8]) -> (u64, Vec<u8>) {
        let Some(cut) = root.iter().rposition(|byte| *byte == b'/').filter(|_| root != b"/") else {
            return (0, Vec::new());
        };
        let mut dir = self.hidden_dir(&[], 0, &[]);
        let mut path = Vec::new();
        for name in root[..cut].split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            path.push(b'/');
            path.extend(name);
            dir = self.hidden_dir(&path, dir, name);
        }
        (dir, root[cut + 1..].to_vec())
    }

    fn hidden_dir(&mut self, path: &[u8], dir: u64, name: &[u8]) -> u64 {
        if let Some(known) = self.hidden.get(path) {
            return *known;
        }
        let ino = HIDDEN + self.hidden.len() as u64;
        self.hidden.insert(path.to_vec(), ino);
        let node = TreeNode {
            kind: Some(NodeKind::Directory),
            size: 0,
            mode: 0o755,
            uid: 0,
            gid: 0,
            times: [(0, 0); 2],
            attributes: Vec::new(),
        };
        self.add(TreeFile { dir, name: name.into(), ino, what: Some(node) });
        ino
    }

    /// A file; true for a directory.
    fn file(
        &mut self,
        file: &OwnedFd,
        (top, path): (usize, &[u8]),
        dir: u64,
        name: Vec<u8>,
    ) -> Result<bool> {
        let fail = |e: std::io::Error| Error::new("look at a file", e);
        let stat = std::fs::metadata(link(file)).map_err(fail)?;
        if stat.dev() != self.dev {
            let path = String::from_utf8_lossy(path);
            let problem = format!(
                "{path} has another device than its file system (an overlay without xino, or a volume)"
            );
            return Err(Error::because("read the files of a file system", problem).into());
        }
        let kind = match SFlag::from_bits_truncate(stat.mode()) & SFlag::S_IFMT {
            SFlag::S_IFREG => None,
            SFlag::S_IFDIR => Some(NodeKind::Directory),
            SFlag::S_IFIFO => Some(NodeKind::Fifo),
            SFlag::S_IFSOCK => Some(NodeKind::Socket),
            SFlag::S_IFCHR => Some(NodeKind::CharDevice(stat.rdev())),
            SFlag::S_IFBLK => Some(NodeKind::BlockDevice(stat.rdev())),
            _ => Some(NodeKind::Symlink(read_link(file)?)),
        };
        let (ino, is_dir) = (stat.ino(), kind == Some(NodeKind::Directory));
        if !is_dir && stat.nlink() > 1 && !self.seen.insert(ino) {
            self.add(TreeFile { dir, name: name.into(), ino, what: None });
            return Ok(false);
        }
        let attributes = attributes_of_path(file.as_fd())?.into_iter();
        let node = TreeNode {
            size: if kind.is_none() { stat.size() } else { 0 },
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            times: inode::times(&stat),
            attributes: attributes.map(|(name, value)| (Bytes(name), Bytes(value))).collect(),
            kind,
        };
        if node.kind.is_none() && node.size > 0 {
            self.regular.push(Found { ino, size: node.size, top, path: path.to_vec() });
        }
        self.add(TreeFile { dir, name: name.into(), ino, what: Some(node) });
        Ok(is_dir)
    }

    fn add(&mut self, file: TreeFile) {
        let attributes = file.what.iter().flat_map(|node| &node.attributes);
        let attributes = attributes.map(|(name, value)| name.0.len() + value.0.len() + 16);
        let target = match file.what.as_ref().and_then(|node| node.kind.as_ref()) {
            Some(NodeKind::Symlink(to)) => to.0.len(),
            _ => 0,
        };
        self.bytes += file.name.0.len() + target + attributes.sum::<usize>();
        self.files.push(file);
        if self.files.len() >= FileTree::MOST || self.bytes >= SOME {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.bytes = 0;
        let (part, files) = (self.trees.len() as u32, std::mem::take(&mut self.files));
        if !files.is_empty() {
            self.trees.push(FileTree { dev: self.dev, part, files });
        }
    }

    fn done(mut self) -> FilesOf {
        self.cut();
        FilesOf { trees: self.trees, regular: self.regular, tops: self.tops }
    }
}

fn read_link(file: &OwnedFd) -> Result<Bytes> {
    let to = nix::fcntl::readlinkat(file, "").map_err(|e| Error::new("read a link", e))?;
    Ok(to.into_vec().into())
}

/// Names in a directory, in the order in which the kernel lists them.
fn entries(dir: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let fail = |e: std::io::Error| Error::new("read a directory", e);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(link(dir)).map_err(fail)? {
        all.push(entry.map_err(fail)?.file_name().into_vec());
    }
    Ok(all)
}
