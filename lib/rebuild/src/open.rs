//! Files, made in restore before the first process is: stubs get them by fork.

use floe_plan::Tree;
use floe_records::*;
use floe_sys::{Error, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    ffi::OsStr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Everything that is open for the tree; all numbers are at least [`Opened::base`].
pub struct Opened {
    base: u32,
    files: BTreeMap<FileId, OwnedFd>,
    places: BTreeMap<Pid, (OwnedFd, Option<OwnedFd>)>,
    exes: BTreeMap<Pid, OwnedFd>,
    maps: HashMap<(Bytes, bool), OwnedFd>,
    objects: BTreeMap<ObjectId, OwnedFd>,
}

impl Opened {
    /// Opens all; every refusal at once.
    pub fn new(tree: &Tree, inherit: &[u32]) -> Result<Self, Refusals> {
        let base = tree.fds.values().flatten().map(|f| f.fd.0 + 1).max().unwrap_or(0).max(64);
        let mut me = Self {
            base,
            files: BTreeMap::new(),
            places: BTreeMap::new(),
            exes: BTreeMap::new(),
            maps: HashMap::new(),
            objects: BTreeMap::new(),
        };
        let mut no = Vec::new();
        let mut say = |pid, object: String, e: Error| {
            no.push(Refusal { pid, object, problem: e.to_string(), hint: String::new() })
        };
        for (id, object) in &tree.objects {
            match me.object(object) {
                Ok(fd) => drop(me.objects.insert(*id, fd)),
                Err(e) => say(None, format!("object {}", id.ino), e),
            }
        }
        for (&pid, fs) in &tree.fs {
            let root = if fs.root.path.0 == b"/" {
                Ok(None)
            } else {
                me.path(&fs.root.path, OFlag::O_PATH).map(Some)
            };
            match (me.path(&fs.cwd.path, OFlag::O_PATH), root) {
                (Ok(cwd), Ok(root)) => drop(me.places.insert(pid, (cwd, root))),
                (Err(e), _) | (_, Err(e)) => say(Some(pid), "directory".into(), e),
            }
        }
        for (&pid, mm) in &tree.mm {
            match me.path(&mm.exe.path, OFlag::O_RDONLY) {
                Ok(fd) => drop(me.exes.insert(pid, fd)),
                Err(e) => say(Some(pid), "executable".into(), e),
            }
        }
        for (&pid, vmas) in &tree.vmas {
            for vma in vmas.iter().filter(|v| v.kind == VmaKind::File) {
                let Some(key) = key(vma) else { continue };
                if !me.maps.contains_key(&key) {
                    let flags = if key.1 { OFlag::O_RDWR } else { OFlag::O_RDONLY };
                    match me.path(&key.0, flags) {
                        Ok(fd) => drop(me.maps.insert(key, fd)),
                        Err(e) => say(Some(pid), format!("{:x}-{:x}", vma.start.0, vma.end.0), e),
                    }
                }
            }
            for vma in vmas.iter().filter(|v| v.kind == VmaKind::Object) {
                if me.mapped(vma).is_err() {
                    say(
                        Some(pid),
                        format!("{:x}-{:x}", vma.start.0, vma.end.0),
                        Error::because("map it", "its content is not in the stream"),
                    );
                }
            }
        }
        for m in &tree.mapped {
            let size = std::fs::metadata(path_of(&m.file.path)).map(|d| d.len());
            if size.is_ok_and(|size| size != m.size) {
                say(
                    None,
                    m.file.path.to_string(),
                    Error::because("map it", "its size has changed"),
                );
            }
        }
        let mut pipes = BTreeMap::new();
        for file in tree.files.values() {
            match me.description(tree, file, inherit, &mut pipes) {
                Ok(fd) => drop(me.files.insert(file.id, fd)),
                Err(e) => say(None, format!("file {}", file.id), e),
            }
        }
        if no.is_empty() { Ok(me) } else { Err(Refusals(no)) }
    }

    fn high(&self, fd: OwnedFd) -> Result<OwnedFd> {
        let new = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(self.base as i32))
            .map_err(|e| Error::new("move a descriptor up", e))?;
        Ok(floe_sys::owned(new))
    }

    fn path(&self, path: &Bytes, flags: OFlag) -> Result<OwnedFd> {
        let fd = open(&path_of(path), flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty());
        self.high(fd.map_err(|e| Error::new(format!("open {path}"), e))?)
    }

    fn object(&self, object: &Object) -> Result<OwnedFd> {
        let fd = floe_sys::memfd_create(c"floe", 3)?;
        nix::unistd::ftruncate(fd.as_fd(), object.size as i64)
            .map_err(|e| Error::new("size an object", e))?;
        self.high(fd)
    }

    fn description(
        &self,
        tree: &Tree,
        file: &OpenFile,
        inherit: &[u32],
        pipes: &mut BTreeMap<u64, (OwnedFd, OwnedFd)>,
    ) -> Result<OwnedFd> {
        let flags = OFlag::from_bits_truncate(file.flags as i32)
            & !(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_TRUNC);
        match &file.what {
            FileKind::Regular(r, _) | FileKind::Directory(r) | FileKind::Device(r, _) => {
                let fd = self.path(&r.path, flags)?;
                if file.pos != 0 {
                    nix::unistd::lseek(fd.as_fd(), file.pos as i64, nix::unistd::Whence::SeekSet)
                        .map_err(|e| Error::new("seek", e))?;
                }
                Ok(fd)
            }
            FileKind::Pipe(ino) => self.pipe(tree, *ino, flags, pipes),
            FileKind::External(what) => self.external(tree, file.id, what, inherit),
            other => Err(Error::because("open it", format!("restore cannot make {other:?} yet"))),
        }
    }

    fn pipe(
        &self,
        tree: &Tree,
        ino: u64,
        flags: OFlag,
        pipes: &mut BTreeMap<u64, (OwnedFd, OwnedFd)>,
    ) -> Result<OwnedFd> {
        if let Entry::Vacant(place) = pipes.entry(ino) {
            let (r, w) =
                nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::new("make a pipe", e))?;
            if let Some((capacity, bytes)) = tree.pipes.get(&ino) {
                floe_sys::set_pipe_size(w.as_fd(), *capacity as usize)?;
                let done = nix::unistd::write(w.as_fd(), bytes)
                    .map_err(|e| Error::new("fill a pipe", e))?;
                if done != bytes.len() {
                    return Err(Error::because("fill a pipe", "it has no room"));
                }
            }
            place.insert((r, w));
        }
        let ends = &pipes[&ino];
        let end = if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY { &ends.1 } else { &ends.0 };
        self.path(&Bytes::from(format!("/proc/self/fd/{}", end.as_raw_fd()).as_str()), flags)
    }

    /// Standard streams of restore take the place of what was outside; its input is the stream.
    fn external(&self, tree: &Tree, id: FileId, what: &Bytes, inherit: &[u32]) -> Result<OwnedFd> {
        let numbers: Vec<u32> =
            tree.fds.values().flatten().filter(|f| f.file == id).map(|f| f.fd.0).collect();
        let own = numbers
            .iter()
            .find(|n| inherit.contains(n))
            .or_else(|| numbers.iter().find(|n| [1, 2].contains(*n)));
        let fd = match own {
            Some(n) => {
                fcntl(floe_sys::borrowed(*n as i32), FcntlArg::F_DUPFD_CLOEXEC(self.base as i32))
                    .map_err(|e| Error::new(format!("take descriptor {n}"), e))?
            }
            None if numbers.contains(&0) => return self.path(&"/dev/null".into(), OFlag::O_RDONLY),
            None => {
                return Err(Error::because(
                    "open it",
                    format!("it is outside the tree: {what} (give --inherit FD)"),
                ));
            }
        };
        Ok(floe_sys::owned(fd))
    }

    /// Writes a run of an object's content.
    pub fn write_object(&self, data: &ObjectData, bytes: &[u8]) -> Result<()> {
        let gone = || Error::because("fill an object", "it was not announced");
        let fd = self.objects.get(&data.id).ok_or_else(gone)?;
        let done = nix::sys::uio::pwrite(fd.as_fd(), bytes, data.offset as i64)
            .map_err(|e| Error::new("fill an object", e))?;
        if done == bytes.len() {
            Ok(())
        } else {
            Err(Error::because("fill an object", "short write"))
        }
    }

    /// First number above all of the target's.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    pub(crate) fn file(&self, id: FileId) -> Result<u32> {
        number(self.files.get(&id))
    }

    pub(crate) fn places(&self, pid: Pid) -> Result<(u32, Option<u32>)> {
        let place = self.places.get(&pid);
        Ok((
            number(place.map(|p| &p.0))?,
            place.and_then(|p| p.1.as_ref()).map(|f| f.as_raw_fd() as u32),
        ))
    }

    pub(crate) fn exe(&self, pid: Pid) -> Result<u32> {
        number(self.exes.get(&pid))
    }

    pub(crate) fn mapped(&self, vma: &Vma) -> Result<u32> {
        let object = vma.file.as_ref().map(|f| ObjectId { dev: f.dev, ino: f.ino });
        match vma.kind {
            VmaKind::Object => number(object.and_then(|id| self.objects.get(&id))),
            _ => number(key(vma).and_then(|k| self.maps.get(&k))),
        }
    }
}

fn number(fd: Option<&OwnedFd>) -> Result<u32> {
    fd.map(|f| f.as_raw_fd() as u32)
        .ok_or_else(|| Error::because("hand over a file", "it is not open"))
}

fn key(vma: &Vma) -> Option<(Bytes, bool)> {
    let writable = vma.shared && vma.flags.0.chunks(2).any(|c| c == b"mw");
    vma.file.as_ref().map(|f| (f.path.clone(), writable))
}

fn path_of(path: &Bytes) -> PathBuf {
    Path::new(OsStr::from_bytes(&path.0)).to_owned()
}
