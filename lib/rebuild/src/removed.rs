//! Directories, named pipes, devices and links that were removed while the tree had them. They are made where they were, with what
//! is missing above them, so that the kernel shows them by the names that they had, and all of that is removed again at once.

use crate::{factory::reopen, of_ended, users::Users};
use floe_records::*;
use floe_sys::{Ended, Error, Place, Places, Result};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat},
    unistd::{Gid, Uid, fchownat, symlinkat},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What was made again.
#[derive(Default)]
pub(crate) struct RemovedNodes {
    pub made: BTreeMap<ObjectId, Made>,
    /// Processes whose directories in /proc are among them.
    pub ended: Mutex<Vec<Ended>>,
}

impl RemovedNodes {
    /// No process goes to such a directory any more: that is possible only before its process is waited for.
    pub fn are_entered(&self) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Something that no name leads to any more.
pub(crate) struct Made {
    /// Open as a path.
    pub path: OwnedFd,
    /// The same, for descriptions that were opened with O_NOFOLLOW: no link of ours could be opened so, and no name is left.
    unfollowed: Mutex<Vec<OwnedFd>>,
}

impl Made {
    /// What only a path leads to.
    pub fn of_path(path: OwnedFd) -> Self {
        Self { path, unfollowed: Mutex::default() }
    }

    /// Opens it anew.
    pub fn open(&self, flags: OFlag) -> Result<OwnedFd> {
        let mut unfollowed = self.unfollowed.lock().unwrap_or_else(PoisonError::into_inner);
        match unfollowed.pop().filter(|_| flags.contains(OFlag::O_PATH | OFlag::O_NOFOLLOW)) {
            Some(path) => Ok(path),
            None => reopen(&self.path, flags),
        }
    }
}

/// How many descriptions of each were opened as a path without following links.
pub(crate) fn unfollowed(tree: &Tree) -> BTreeMap<ObjectId, usize> {
    let both = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits() as u32;
    let names = tree.all::<SpecialPath>().iter().map(|it| (it.file, &it.name));
    let names = names.chain(tree.all::<Directory>().iter().map(|it| (it.file, &it.name)));
    let mut counts = BTreeMap::new();
    for (file, name) in names.filter(|(_, name)| name.deleted) {
        let open = tree.get::<OpenFile>(file).filter(|open| open.flags & both == both);
        *counts.entry(name.object()).or_default() += usize::from(open.is_some());
    }
    counts
}

/// Files that are being made below one root. Dropped, they are removed, the last one first; and so they are by children of ours, if
/// we die.
struct Names<'a> {
    /// Opens a directory by its path below the root.
    lookup: &'a dyn Fn(&Bytes) -> Result<OwnedFd>,
    made: Vec<Places>,
    directories: BTreeMap<PathBuf, OwnedFd>,
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        while let Some(made) = self.made.pop() {
            drop(made);
        }
    }
}

/// Makes all of a root, which `lookup` opens directories below.
pub(crate) fn make<'a>(
    nodes: impl Iterator<Item = &'a RemovedNode>,
    unfollowed: &BTreeMap<ObjectId, usize>,
    lookup: &dyn Fn(&Bytes) -> Result<OwnedFd>,
    (tree, users): (&Tree, &Users<'_>),
    out: &mut RemovedNodes,
) -> Result<()> {
    let mut nodes: Vec<&RemovedNode> = nodes.collect();
    // What is above others comes before them.
    nodes.sort_by_key(|node| node.name.path.0.len());
    let (ended, nodes): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.kind == NodeKind::OfEnded);
    of_ended::make(ended, lookup, (tree, users), out)?;
    let mut names = Names { lookup, made: Vec::new(), directories: BTreeMap::new() };
    for node in &nodes {
        let fail = |e| Error::new(format!("make {} again", node.name.path), e);
        let unfollowed = unfollowed.get(&node.name.object()).copied().unwrap_or(0);
        let made = names.make(&node.name.path, &node.kind, unfollowed)?;
        chown(&made.path, node).map_err(fail)?;
        out.made.insert(node.name.object(), made);
    }
    drop(names);
    // What happens in a directory changes its times.
    nodes.iter().try_for_each(|node| {
        out.made.get(&node.name.object()).map_or(Ok(()), |made| finish(&made.path, node))
    })
}

/// A directory of which no more is known than its path.
pub(crate) fn directory(
    path: &Bytes,
    lookup: &dyn Fn(&Bytes) -> Result<OwnedFd>,
) -> Result<OwnedFd> {
    let mut names = Names { lookup, made: Vec::new(), directories: BTreeMap::new() };
    names.make(path, &NodeKind::Directory, 0).map(|made| made.path)
}

impl Names<'_> {
    /// Makes one by its name, or by another one where somebody has that.
    fn make(&mut self, path: &Bytes, kind: &NodeKind, unfollowed: usize) -> Result<Made> {
        let fail = |e| Error::new(format!("make {path} again"), e);
        let full = Path::new(OsStr::from_bytes(&path.0));
        let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else {
            return Err(Error::because("make it again", "its name is none of a file"));
        };
        let dir = self.directory(parent)?;
        let is_dir = *kind == NodeKind::Directory;
        let (path, place) = self.create(dir, name, kind)?;
        let again = || openat(place.dir(), place.beside(), PATH, Mode::empty()).map_err(fail);
        let unfollowed = (0..unfollowed).map(|_| again()).collect::<Result<Vec<_>>>()?;
        self.name()?;
        if is_dir {
            self.directories.insert(full.to_owned(), clone(&path)?);
        }
        Ok(Made { path, unfollowed: Mutex::new(unfollowed) })
    }

    /// Makes something under a name that nobody else takes, and opens it as a path.
    fn create(&mut self, dir: OwnedFd, name: &OsStr, kind: &NodeKind) -> Result<(OwnedFd, &Place)> {
        let fail = |e| Error::new(format!("make {} again", name.display()), e);
        let beside = format!(".floe-{}-{}", std::process::id(), self.made.len());
        let is_dir = *kind == NodeKind::Directory;
        let places = Places::watch(vec![Place::of_node(dir, name, &beside, is_dir)?])?;
        self.made.push(places);
        let gone = || Error::because("make what was removed", "its place is gone");
        let place = self.made.last().and_then(|made| made.get(0)).ok_or_else(gone)?;
        create(place.dir(), place.beside(), kind).map_err(fail)?;
        let path = openat(place.dir(), place.beside(), PATH, Mode::empty()).map_err(fail)?;
        Ok((path, place))
    }

    /// Gives the last one that was made its name, unless somebody else has that.
    fn name(&self) -> Result<()> {
        match self.made.last().map_or(Ok(()), Places::put) {
            Err(e) if matches!(e.errno(), Some(libc::EEXIST | libc::ENAMETOOLONG)) => Ok(()),
            named => named,
        }
    }

    /// A directory that something is made in; what is missing of its path is made as well.
    fn directory(&mut self, path: &Path) -> Result<OwnedFd> {
        if let Some(known) = self.directories.get(path) {
            return clone(known);
        }
        let bytes = Bytes(path.as_os_str().as_bytes().to_vec());
        let found = (self.lookup)(&bytes);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return found };
        match found {
            Err(e) if e.cause().raw_os_error() == Some(libc::ENOENT) => {}
            // Something else has the name by now: it stands in for the nearest one that is left.
            Err(e) if e.cause().raw_os_error() == Some(libc::ENOTDIR) => {
                return self.directory(parent);
            }
            found => return found,
        }
        let dir = self.directory(parent)?;
        let (made, _) = self.create(dir, name, &NodeKind::Directory)?;
        self.name()?;
        self.directories.insert(path.to_owned(), clone(&made)?);
        Ok(made)
    }
}

fn clone(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone().map_err(|e| Error::new("keep a directory", e))
}

/// Makes a node of a directory.
pub(crate) fn create(dir: &OwnedFd, name: &OsStr, kind: &NodeKind) -> nix::Result<()> {
    let own = Mode::S_IRUSR | Mode::S_IWUSR;
    match kind {
        NodeKind::Directory => mkdirat(dir, name, Mode::S_IRWXU),
        NodeKind::Fifo => mknodat(dir, name, SFlag::S_IFIFO, own, 0),
        NodeKind::Socket => mknodat(dir, name, SFlag::S_IFSOCK, own, 0),
        NodeKind::CharDevice(rdev) => mknodat(dir, name, SFlag::S_IFCHR, own, *rdev),
        NodeKind::BlockDevice(rdev) => mknodat(dir, name, SFlag::S_IFBLK, own, *rdev),
        NodeKind::Symlink(to) => symlinkat(OsStr::from_bytes(&to.0), dir, name),
        // It is no node of any directory that we could make.
        NodeKind::OfEnded => Err(Errno::EINVAL),
    }
}

fn chown(path: &OwnedFd, node: &RemovedNode) -> nix::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
    let now = fstatat(path, "", AtFlags::AT_EMPTY_PATH)?;
    if (now.st_uid, now.st_gid) == (node.uid, node.gid) {
        return Ok(());
    }
    fchownat(path, "", uid, gid, AtFlags::AT_EMPTY_PATH)
}

/// Permissions, attributes and times, through the link of our descriptor, which leads there though no name does.
fn finish(path: &OwnedFd, node: &RemovedNode) -> Result<()> {
    let fail = |e| Error::new(format!("set the permissions of {}", node.name.path), e);
    let own = format!("/proc/self/fd/{}", path.as_raw_fd());
    // Those of a symbolic link are the same for all.
    if !matches!(node.kind, NodeKind::Symlink(_)) {
        let mode = Mode::from_bits_truncate(node.mode);
        fchmodat(AT_FDCWD, &*own, mode, FchmodatFlags::FollowSymlink).map_err(fail)?;
    }
    if !node.attributes.is_empty() {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let dir = openat(AT_FDCWD, &*own, flags, Mode::empty()).map_err(fail)?;
        for (name, value) in &node.attributes {
            floe_sys::set_attribute(dir.as_fd(), &name.0, &value.0)?;
        }
    }
    floe_sys::set_times(path, node.times)
}
