//! Everything that is open for the tree before the first process is made.

use crate::files::{Maker, Modes, Places, reopen};
use floe_plan::Tree;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::uio::pwrite,
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

/// What a user may ask of a restore.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Descriptors of ours that take the place of outside ones of the same number.
    pub inherit: Vec<u32>,
    /// Paths of the tree are looked up below it.
    pub root: PathBuf,
}

/// Everything that is open for the tree; all numbers are at least [`Opened::base`].
pub struct Opened<'a> {
    base: u32,
    make: Maker<'a>,
    files: BTreeMap<FileId, OwnedFd>,
    /// Outside files under the numbers that restore knows.
    standard: BTreeMap<(FileId, FdNum), OwnedFd>,
    exes: BTreeMap<Pid, OwnedFd>,
    maps: HashMap<(Pid, Bytes, bool), OwnedFd>,
    /// Nameless files that nobody may map for writing.
    readable: BTreeMap<ObjectId, OwnedFd>,
    /// Removed executables until they are filled: a program cannot run from what is open for writing.
    writers: RwLock<BTreeMap<ObjectId, OwnedFd>>,
}

impl<'a> Opened<'a> {
    /// Opens all; every refusal at once.
    pub fn new(tree: &'a Tree, wishes: &'a Wishes) -> Result<Self, Refusals> {
        let mut no = Vec::new();
        let refusal = |pid, object, e: Error| Refusal {
            pid,
            object,
            problem: e.to_string(),
            hint: String::new(),
        };
        let places = Places::open(tree, &wishes.root, &mut |pid, object, e| {
            no.push(refusal(Some(pid), object, e));
        });
        if !no.is_empty() {
            // Whatever else there is would follow from it.
            return Err(Refusals(no));
        }
        let mut say = |pid, object, e| no.push(refusal(pid, object, e));
        let make = Maker::new(tree, places, &wishes.inherit, &mut |object, e| say(None, object, e));
        let mut me = Self {
            base: base(tree),
            make,
            files: BTreeMap::new(),
            standard: BTreeMap::new(),
            exes: BTreeMap::new(),
            maps: HashMap::new(),
            readable: BTreeMap::new(),
            writers: RwLock::default(),
        };
        me.fill_in(tree, &mut say);
        if no.is_empty() { Ok(me) } else { Err(Refusals(no)) }
    }

    fn fill_in(&mut self, tree: &Tree, say: &mut dyn FnMut(Option<Pid>, String, Error)) {
        for (&pid, mm) in &tree.mm {
            if let Err(e) = self.executable(pid, &mm.exe) {
                say(Some(pid), "executable".into(), e);
            }
        }
        for (&pid, vmas) in &tree.vmas {
            for vma in vmas {
                if let Err(e) = self.map(tree, pid, vma) {
                    say(Some(pid), format!("{:x}-{:x}", vma.start.0, vma.end.0), e);
                }
            }
        }
        for file in tree.files.values() {
            match self.make.file(file).and_then(|fd| high(self.base, fd)) {
                Ok(fd) => drop(self.files.insert(file.id, fd)),
                Err(e) => say(None, tree.describe(file.id), e),
            }
        }
        for fd in tree.fds.values().flatten() {
            let Some(file) = tree.files.get(&fd.file) else { continue };
            match self.make.standard(file, fd.fd) {
                Ok(Some(own)) => match high(self.base, own) {
                    Ok(own) => drop(self.standard.insert((fd.file, fd.fd), own)),
                    Err(e) => say(None, tree.describe(file.id), e),
                },
                Ok(None) => {}
                Err(e) => say(None, tree.describe(file.id), e),
            }
        }
        for held in &tree.locks {
            let fd = tree.fds.get(&held.pid).and_then(|fds| fds.iter().find(|fd| fd.fd == held.fd));
            let Some(open) = fd.and_then(|fd| self.files.get(&fd.file)) else { continue };
            for lock in &held.locks {
                if let Err(e) = crate::files::take_lock(open, lock) {
                    say(Some(held.pid), format!("fd {}", held.fd), e);
                }
            }
        }
        for id in tree.mm.values().filter_map(|mm| removed_exe(&mm.exe)) {
            let writer = self.make.objects.remove(&id);
            self.writers
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(writer.map(|fd| (id, fd)));
        }
    }

    fn executable(&mut self, pid: Pid, exe: &FileRef) -> Result<()> {
        let fd = match removed_exe(exe) {
            None => self.path(pid, exe, OFlag::O_RDONLY)?,
            Some(id) => {
                let gone = || Error::because("open it", "its content is not in the stream");
                let object = self.make.objects.get(&id).ok_or_else(gone)?;
                let readable = || high(self.base, reopen(object, OFlag::O_RDONLY)?);
                let (exe, mapped) = (readable()?, readable()?);
                self.readable.insert(id, mapped);
                exe
            }
        };
        self.exes.insert(pid, fd);
        Ok(())
    }

    fn path(&self, pid: Pid, name: &FileRef, flags: OFlag) -> Result<OwnedFd> {
        high(self.base, self.make.places.path(pid, name, flags)?)
    }

    /// Opens what a VMA maps.
    fn map(&mut self, tree: &Tree, pid: Pid, vma: &Vma) -> Result<()> {
        match vma.kind {
            VmaKind::File => {
                let (Some(key), Some(name)) = (key(pid, vma), &vma.file) else { return Ok(()) };
                if self.maps.contains_key(&key) {
                    return Ok(());
                }
                let flags = if key.2 { OFlag::O_RDWR } else { OFlag::O_RDONLY };
                let fd = self.path(pid, name, flags)?;
                let known =
                    vma.file.as_ref().and_then(|file| tree.mapped.iter().find(|m| m.file == *file));
                known.map_or(Ok(()), |known| same_file(known, &fd))?;
                self.maps.insert(key, fd);
            }
            VmaKind::Object => {
                let gone = || Error::because("map it", "its content is not in the stream");
                let id = object_id(vma).ok_or_else(gone)?;
                let fd = self.make.objects.get(&id).ok_or_else(gone)?;
                if !self.readable.contains_key(&id) && vma.shared && !writable(vma) {
                    let fd = high(self.base, reopen(fd, OFlag::O_RDONLY)?)?;
                    self.readable.insert(id, fd);
                }
                if let Some(low) = self.make.objects.remove(&id) {
                    self.make.objects.insert(id, high(self.base, low)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes ranges of an object's content; `bytes` are those of all, one behind the other.
    pub fn write_object(&self, data: &ObjectData, mut bytes: &[u8]) -> Result<()> {
        let doing = "fill a nameless file";
        let gone = || Error::because(doing, "it was not announced");
        let writers = self.writers.read().unwrap_or_else(PoisonError::into_inner);
        let fd =
            self.make.objects.get(&data.id).or_else(|| writers.get(&data.id)).ok_or_else(gone)?;
        for &(mut offset, len) in data.ranges.as_slice() {
            let short = || Error::because(doing, "its content is too short");
            let (mut part, rest) = bytes.split_at_checked(len as usize).ok_or_else(short)?;
            bytes = rest;
            while !part.is_empty() {
                match pwrite(fd.as_fd(), part, offset as i64) {
                    Ok(0) => return Err(Error::because(doing, "nothing more can be written")),
                    Ok(done) => {
                        offset += done as u64;
                        part = &part[done..];
                    }
                    Err(nix::Error::EINTR) => {}
                    Err(e) => return Err(Error::new(doing, e)),
                }
            }
        }
        Ok(())
    }

    /// Everything has been written: seals go on.
    pub fn seal(&self) -> Result<()> {
        self.writers.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.make.seal()
    }

    /// Sets the terminals that the tree is given as its own were.
    pub fn modes(&self) -> Result<Modes> {
        let given = |id| {
            let by_number = self.standard.iter().find(|((file, _), _)| *file == id);
            let fd = by_number.map(|(_, fd)| fd).or_else(|| self.files.get(&id))?;
            fd.try_clone().ok()
        };
        Modes::set(self.make.tree, &given)
    }

    /// The restore has succeeded: nothing is undone any more.
    pub fn keep(&mut self) {
        self.make.keep();
    }

    /// First number above all of the target's.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    pub(crate) fn file(&self, id: FileId) -> Result<u32> {
        number(self.files.get(&id))
    }

    /// What stands behind a descriptor.
    pub(crate) fn descriptor(&self, fd: &Fd) -> Result<u32> {
        let own = self.standard.get(&(fd.file, fd.fd));
        if own.is_some() { number(own) } else { self.file(fd.file) }
    }

    /// Numbers of the working directory and, where it is not ours, of the root.
    pub(crate) fn places(&self, pid: Pid) -> Result<(u32, Option<u32>)> {
        let place = self.make.places.of(pid)?;
        let root = place.root.as_ref().map(|fd| fd.as_raw_fd() as u32);
        Ok((place.cwd.as_raw_fd() as u32, root))
    }

    pub(crate) fn exe(&self, pid: Pid) -> Result<u32> {
        number(self.exes.get(&pid))
    }

    pub(crate) fn mapped(&self, pid: Pid, vma: &Vma) -> Result<u32> {
        if vma.kind != VmaKind::Object {
            return number(key(pid, vma).and_then(|k| self.maps.get(&k)));
        }
        let id = object_id(vma);
        let readable = id.and_then(|id| self.readable.get(&id));
        match readable.filter(|_| !(vma.shared && writable(vma))) {
            Some(fd) => number(Some(fd)),
            None => number(id.and_then(|id| self.make.objects.get(&id))),
        }
    }
}

/// The object that an executable without a name is.
fn removed_exe(exe: &FileRef) -> Option<ObjectId> {
    exe.deleted.then_some(ObjectId { dev: exe.dev, ino: exe.ino })
}

/// Above every number that a process has or an epoll instance remembers.
fn base(tree: &Tree) -> u32 {
    let watched = tree.files.values().flat_map(|file| match &file.what {
        FileKind::Epoll(watches) => watches.as_slice(),
        _ => &[],
    });
    let numbers = tree.fds.values().flatten().map(|fd| fd.fd.0);
    numbers.chain(watched.map(|watch| watch.fd.0)).max().map_or(64, |most| (most + 1).max(64))
}

fn high(base: u32, fd: OwnedFd) -> Result<OwnedFd> {
    let new = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(base as i32))
        .map_err(|e| Error::new("move a descriptor up", e))?;
    Ok(floe_sys::owned(new))
}

/// A mapped file must be the one that was mapped: code goes on in the midst of it.
fn same_file(known: &MappedFile, fd: &OwnedFd) -> Result<()> {
    let path = &known.file.path;
    let fail = |e| Error::new(format!("read {path}"), e);
    let file = File::from(fd.try_clone().map_err(fail)?);
    let size = file.metadata().map_err(fail)?.size();
    if size != known.size {
        let what = format!("its size was {} and is {size} now", known.size);
        return Err(Error::because(format!("map {path}"), what));
    }
    let Some(was) = &known.build_id else { return Ok(()) };
    let mut head = Vec::new();
    file.take(floe_elf::HEAD).read_to_end(&mut head).map_err(fail)?;
    let hex = |id: &[u8]| id.iter().map(|b| format!("{b:02x}")).collect::<String>();
    match floe_elf::build_id(&head) {
        Some(now) if now == was.0 => Ok(()),
        now => {
            let now = now.map_or_else(|| "none".to_owned(), |id| hex(&id));
            let what = format!("its build id was {} and is {now} now", hex(&was.0));
            Err(Error::because(format!("map {path}"), what))
        }
    }
}

fn number(fd: Option<&OwnedFd>) -> Result<u32> {
    fd.map(|f| f.as_raw_fd() as u32)
        .ok_or_else(|| Error::because("hand over a file", "it is not open"))
}

/// VM_MAYWRITE: opened for writing, as mmap(2) wants it for shared mappings that may become writable.
fn writable(vma: &Vma) -> bool {
    vma.flags.0.as_chunks::<2>().0.contains(b"mw")
}

fn key(pid: Pid, vma: &Vma) -> Option<(Pid, Bytes, bool)> {
    vma.file.as_ref().map(|f| (pid, f.path.clone(), vma.shared && writable(vma)))
}

fn object_id(vma: &Vma) -> Option<ObjectId> {
    vma.file.as_ref().map(|f| ObjectId { dev: f.dev, ino: f.ino })
}
