//! Files of file systems that travel with the tree. They are made before anything is opened, each with its size; contents come
//! with the bulk, attributes and times at the end.

use floe_mounts::{Workshop, below};
use floe_records::*;
use floe_sys::{Error, Result, make_read_only, set_attribute_of_path, set_times};
use nix::{
    fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat},
    sys::{
        stat::{FchmodatFlags, Mode, fchmodat, fstat},
        uio::pwrite,
    },
    unistd::{Gid, Uid, UnlinkatFlags, fchownat, ftruncate, unlinkat},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// File systems with their files.
#[derive(Default)]
pub(crate) struct Files {
    systems: Vec<Filled>,
    /// Regular files: which file system, and the path from its top.
    regular: BTreeMap<ObjectId, (usize, Vec<u8>)>,
    /// It keeps what is not mounted anywhere else.
    workshop: Mutex<Option<Workshop>>,
    /// The restore has succeeded.
    stay: AtomicBool,
}

impl Drop for Files {
    fn drop(&mut self) {
        let fails = !self.stay.load(Ordering::Relaxed);
        let unpacked = self.systems.iter().filter(|system| system.put == Put::Directory);
        unpacked.filter(|_| fails).for_each(Filled::empty);
    }
}

impl Filled {
    /// Takes away all that was made, as far as it can be: why the restore fails is told already.
    fn empty(&self) {
        for (path, _) in self.order.iter().rev() {
            let Some(cut) = path.iter().rposition(|byte| *byte == b'/') else { continue };
            let Ok(dir) = below(self.top.as_fd(), &path[..cut]) else { continue };
            let name = OsStr::from_bytes(&path[cut + 1..]);
            if unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir).is_err() {
                let _ = unlinkat(&dir, name, UnlinkatFlags::RemoveDir);
            }
        }
        let (uid, gid, mode) = self.before;
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let _ = fchownat(&self.top, "", uid, gid, AtFlags::AT_EMPTY_PATH);
        let mode = Mode::from_bits_truncate(mode);
        let _ = fchmodat(AT_FDCWD, &*link(&self.top), mode, FchmodatFlags::FollowSymlink);
    }
}

/// Where the files of a file system are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// In one that is mounted anew.
    Anew,
    /// Likewise, and it is to be one that cannot be written to.
    ReadOnly,
    /// In a directory of the user's, which is empty again where the restore fails.
    Directory,
}

struct Filled {
    /// Its device, and that of the one whose place it takes.
    dev: u64,
    was: u64,
    /// Its top, where all of it can be written to.
    top: OwnedFd,
    put: Put,
    /// Owner and permissions that the top had.
    before: (u32, u32, u32),
    /// Everything, in the order in which it was made, with its path.
    order: Vec<(Vec<u8>, u64)>,
}

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Files {
    /// Makes all files of a file system, of which this is the top.
    pub fn make(&mut self, tree: &Tree, dev: u64, top: OwnedFd, put: Put) -> Result<()> {
        let now = fstat(&top).map_err(|e| Error::new("look at a file system", e))?;
        let before = (now.st_uid, now.st_gid, now.st_mode & 0o7777);
        let mut making = Making {
            top: &top,
            dirs: BTreeMap::new(),
            first: BTreeMap::new(),
            order: Vec::new(),
            regular: Vec::new(),
        };
        let made = making.all(tree.all::<FileTree>().iter().filter(|part| part.dev == dev));
        let Making { order, regular, .. } = making;
        let at = self.systems.len();
        let regular = regular.into_iter().map(|(path, ino)| (ObjectId { dev, ino }, (at, path)));
        self.regular.extend(regular);
        self.systems.push(Filled { dev: now.st_dev, was: dev, top, put, before, order });
        made
    }

    /// Does something in the workshop.
    pub fn in_workshop(&self, work: impl FnOnce(&Workshop) -> Result<()>) -> Result<()> {
        let gone = || Error::because("mount what comes late", "there is no workshop");
        let workshop = self.workshop.lock().unwrap_or_else(PoisonError::into_inner);
        work(workshop.as_ref().ok_or_else(gone)?)
    }

    /// What files are made in lives as long.
    pub fn keep(&mut self, workshop: Workshop) {
        *self.workshop.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(workshop);
    }

    /// Whether this is a regular file of them.
    pub fn has(&self, id: ObjectId) -> bool {
        self.regular.contains_key(&id)
    }

    /// Device of the file system that takes the place of one.
    pub fn device(&self, was: u64) -> Option<u64> {
        self.systems.iter().find(|system| system.was == was).map(|system| system.dev)
    }

    /// Devices of the file systems that were mounted anew.
    pub fn devices(&self) -> impl Iterator<Item = u64> {
        let anew = self.systems.iter().filter(|system| system.put != Put::Directory);
        anew.map(|system| system.dev)
    }

    /// Regular files that were made in directories of the user's.
    pub fn unpacked(&self) -> impl Iterator<Item = Result<OwnedFd>> {
        self.regular.values().filter_map(|(at, path)| {
            let system = self.systems.get(*at).filter(|system| system.put == Put::Directory)?;
            Some(below(system.top.as_fd(), path))
        })
    }

    /// The tree lives: nothing is taken away any more.
    pub fn stay(&self) {
        self.stay.store(true, Ordering::Relaxed);
    }

    /// Opens a regular file of them for writing.
    pub fn writer(&self, id: ObjectId) -> Result<Option<OwnedFd>> {
        let Some((at, path)) = self.regular.get(&id) else { return Ok(None) };
        let Some(system) = self.systems.get(*at) else { return Ok(None) };
        let file = below(system.top.as_fd(), path)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let fail = |e| Error::new(format!("open {}", String::from_utf8_lossy(path)), e);
        open(&*link(&file), flags, Mode::empty()).map(Some).map_err(fail)
    }

    /// Everything is written: attributes, permissions and times go on, those of directories behind those of what is in them.
    pub fn seal(&self, tree: &Tree) -> Result<()> {
        for system in &self.systems {
            let mut nodes = BTreeMap::new();
            for part in tree.all::<FileTree>().iter().filter(|part| part.dev == system.was) {
                let files = part.files.iter();
                nodes.extend(files.filter_map(|file| Some((file.ino, file.what.as_ref()?))));
            }
            for (path, ino) in system.order.iter().rev() {
                let Some(node) = nodes.get(ino) else { continue };
                match below(system.top.as_fd(), path) {
                    Ok(file) => finish(&file, node)?,
                    // What the tree itself has made again, such as the file of a socket, is its own business.
                    Err(e) if e.errno() == Some(libc::ENOENT) => {}
                    Err(e) => return Err(e),
                }
            }
            if system.put == Put::ReadOnly {
                make_read_only(system.top.as_fd())?;
            }
        }
        self.workshop.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

/// Writes a piece of content.
pub(crate) fn write(fd: &OwnedFd, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
    let fail = |e| Error::new("fill a file", e);
    while !bytes.is_empty() {
        match pwrite(fd, bytes, offset as i64) {
            Ok(0) => return Err(Error::because("fill a file", "nothing more can be written")),
            Ok(done) => {
                offset += done as u64;
                bytes = &bytes[done..];
            }
            Err(nix::Error::EINTR) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(())
}

fn link(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A file system whose files are being made.
struct Making<'a> {
    top: &'a OwnedFd,
    /// Directories by their old inode numbers.
    dirs: BTreeMap<u64, Vec<u8>>,
    /// The first name of each other file.
    first: BTreeMap<u64, Vec<u8>>,
    order: Vec<(Vec<u8>, u64)>,
    regular: Vec<(Vec<u8>, u64)>,
}

impl Making<'_> {
    fn all<'t>(&mut self, parts: impl Iterator<Item = &'t FileTree>) -> Result<()> {
        for file in parts.flat_map(|part| &part.files) {
            let fail = |e: Error| Error::because(format!("make {}", file.name), format!("{e}"));
            self.file(file).map_err(fail)?;
        }
        Ok(())
    }

    fn file(&mut self, file: &TreeFile) -> Result<()> {
        let Some(node) = &file.what else { return self.another_name(file) };
        if file.dir == 0 {
            self.dirs.insert(file.ino, Vec::new());
            self.order.push((Vec::new(), file.ino));
            return owned(self.top, node);
        }
        let path = self.path(file)?;
        let dir = self.dir(file)?;
        let made = create(&dir, &file.name, node)?;
        owned(&made, node)?;
        match &node.kind {
            Some(NodeKind::Directory) => drop(self.dirs.insert(file.ino, path.clone())),
            kind => {
                self.first.insert(file.ino, path.clone());
                if kind.is_none() {
                    self.regular.push((path.clone(), file.ino));
                }
            }
        }
        self.order.push((path, file.ino));
        Ok(())
    }

    fn another_name(&mut self, file: &TreeFile) -> Result<()> {
        let gone = || Error::because("give it another name", "it has none yet");
        let first = below(self.top.as_fd(), self.first.get(&file.ino).ok_or_else(gone)?)?;
        let (dir, name) = (self.dir(file)?, OsStr::from_bytes(&file.name.0));
        nix::unistd::linkat(first.as_fd(), "", &dir, name, AtFlags::AT_EMPTY_PATH)
            .map_err(|e| Error::new("give it another name", e))?;
        self.order.push((self.path(file)?, file.ino));
        Ok(())
    }

    fn dir_path(&self, file: &TreeFile) -> Result<&[u8]> {
        let gone = || Error::because("open its directory", "it is not there");
        self.dirs.get(&file.dir).map(Vec::as_slice).ok_or_else(gone)
    }

    fn dir(&self, file: &TreeFile) -> Result<OwnedFd> {
        below(self.top.as_fd(), self.dir_path(file)?)
    }

    fn path(&self, file: &TreeFile) -> Result<Vec<u8>> {
        Ok([self.dir_path(file)?, b"/", &file.name.0].concat())
    }
}

fn create(dir: &OwnedFd, name: &Bytes, node: &TreeNode) -> Result<OwnedFd> {
    let fail = |e| Error::new("make it", e);
    let (name, own) = (OsStr::from_bytes(&name.0), Mode::S_IRUSR | Mode::S_IWUSR);
    match &node.kind {
        None => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let file = openat(dir, name, flags, own).map_err(fail)?;
            ftruncate(&file, node.size as i64).map_err(fail)?;
        }
        Some(kind) => crate::removed::create(dir, name, kind).map_err(fail)?,
    }
    openat(dir, name, PATH, Mode::empty()).map_err(fail)
}

/// Owner, then permissions, of which a change of the owner takes some away.
fn owned(file: &OwnedFd, node: &TreeNode) -> Result<()> {
    let fail = |e| Error::new("set its owner", e);
    let (uid, gid) = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
    fchownat(file, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(fail)?;
    permissions(file, node)
}

fn permissions(file: &OwnedFd, node: &TreeNode) -> Result<()> {
    // Those of a symbolic link are the same for all.
    if matches!(node.kind, Some(NodeKind::Symlink(_))) {
        return Ok(());
    }
    let mode = Mode::from_bits_truncate(node.mode);
    fchmodat(AT_FDCWD, &*link(file), mode, FchmodatFlags::FollowSymlink)
        .map_err(|e| Error::new("set its permissions", e))
}

fn finish(file: &OwnedFd, node: &TreeNode) -> Result<()> {
    for (name, value) in &node.attributes {
        set_attribute_of_path(file.as_fd(), &name.0, &value.0)?;
    }
    permissions(file, node)?;
    set_times(file, node.times)
}
