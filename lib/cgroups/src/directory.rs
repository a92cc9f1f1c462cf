//! The directory of a cgroup and the files in it.

use floe_sys::{Error, Result};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::{
        stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat},
        statfs::{FsType, fstatfs},
    },
    unistd::{Gid, Uid, fchownat, read, write},
};
use std::{
    fs::{self, Metadata},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
};

/// `statfs::f_type` of the two file systems (`linux/magic.h`).
const VERSION_1: i64 = 0x0027_e0eb;
const VERSION_2: i64 = 0x6367_7270;
/// Longest value of a property that is read, bytes.
const LONGEST: usize = 64 << 10;

/// A directory of a cgroup, open.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    dir: OwnedFd,
    version_2: bool,
}

impl Directory {
    /// Opens the first of these that is one; `None` where there is none.
    ///
    /// # Errors
    /// Those of open(2), but for a path that leads nowhere.
    pub fn open(paths: &[PathBuf]) -> Result<Option<Self>> {
        for path in paths {
            let fail = |e| Error::new(format!("open {}", path.display()), e);
            let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let dir = match open(path, flags, Mode::empty()) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                dir => dir.map_err(fail)?,
            };
            let FsType(magic) = fstatfs(&dir).map_err(fail)?.filesystem_type();
            let magic = i64::from(magic as u32);
            // Something else may be mounted over it.
            if [VERSION_1, VERSION_2].contains(&magic) {
                return Ok(Some(Self { path: path.clone(), dir, version_2: magic == VERSION_2 }));
            }
        }
        Ok(None)
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is one of version 2.
    pub fn is_version_2(&self) -> bool {
        self.version_2
    }

    /// Owner and mode of the directory itself.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn stat(&self) -> Result<FileStat> {
        fstat(&self.dir).map_err(|e| self.unable("look at", b"", e))
    }

    /// Its files with their owners and modes, and the names of the cgroups below it, ascending.
    ///
    /// # Errors
    /// Those of readdir(3); a cgroup that has just gone is left out.
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Metadata)>> {
        let fail = |e| Error::new(self.doing("list", b""), e);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            match entry.metadata() {
                Err(e) if [Some(libc::ENOENT), Some(libc::ENODEV)].contains(&e.raw_os_error()) => {}
                stat => all.push((entry.file_name().into_vec(), stat.map_err(fail)?)),
            }
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    /// The cgroups right below it, by name.
    ///
    /// # Errors
    /// Those of reading the directory; one that has just gone is left out.
    pub fn below(&self) -> Result<Vec<(Vec<u8>, Self)>> {
        let fail = |e| Error::new(self.doing("list", b""), e);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let directory = Self::open(&[entry.path()])?;
                all.extend(directory.map(|directory| (entry.file_name().into_vec(), directory)));
            }
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    /// What a file in it says, without the newline at its end; `None` where there is no such file.
    ///
    /// # Errors
    /// Those of open(2) and read(2).
    pub fn read(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let file = match self.file(name, OFlag::O_RDONLY) {
            Err(e) if e.errno() == Some(libc::ENOENT) => return Ok(None),
            file => file?,
        };
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match read(&file, &mut buffer).map_err(|e| self.unable("read", name, e))? {
                0 => break,
                len if text.len() + len > LONGEST => {
                    return Err(Error::because(self.doing("read", name), "it is too long"));
                }
                len => text.extend_from_slice(&buffer[..len]),
            }
        }
        Ok(Some(text.trim_ascii_end().to_vec()))
    }

    /// What a property says, as [`Directory::read`]; `None` also where the kernel says that it has none.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn property(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.read(name) {
            Err(e) if [Some(libc::EOPNOTSUPP), Some(libc::EINVAL)].contains(&e.errno()) => Ok(None),
            read => read,
        }
    }

    /// Writes a file in it, by one call.
    ///
    /// # Errors
    /// Those of open(2) and write(2).
    pub fn write(&self, name: &[u8], text: &[u8]) -> Result<()> {
        let file = self.file(name, OFlag::O_WRONLY)?;
        let done = write(&file, text).map_err(|e| self.unable("write", name, e))?;
        if done == text.len() { Ok(()) } else { Err(self.unable("write", name, Errno::EIO)) }
    }

    /// Owner and mode of a file in it, or with an empty name of itself.
    ///
    /// # Errors
    /// Those of chown(2) and chmod(2).
    pub fn own(&self, name: &[u8], (uid, gid): (u32, u32), mode: u32) -> Result<()> {
        let at = if name.is_empty() { b"." } else { name };
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchownat(&self.dir, at, uid, gid, flags).map_err(|e| self.unable("chown", name, e))?;
        let mode = Mode::from_bits_truncate(mode);
        fchmodat(&self.dir, at, mode, FchmodatFlags::FollowSymlink)
            .map_err(|e| self.unable("chmod", name, e))
    }

    /// Whether this cgroup itself is frozen, or about to be. Of version 1 that counts which it has from those above it.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn is_frozen(&self) -> Result<bool> {
        if self.version_2 {
            return Ok(self.read(b"cgroup.freeze")?.is_some_and(|text| text == b"1"));
        }
        Ok(self.read(b"freezer.state")?.is_some_and(|text| text != b"THAWED"))
    }

    /// Whether it was itself told to freeze, whatever those above it were told.
    ///
    /// # Errors
    /// Those of [`Directory::read`].
    pub fn is_told_to_freeze(&self) -> Result<bool> {
        let file: &[u8] = if self.version_2 { b"cgroup.freeze" } else { b"freezer.self_freezing" };
        Ok(self.read(file)?.is_some_and(|text| text == b"1"))
    }

    /// Freezes or thaws it. Its tasks come to a stand later.
    ///
    /// # Errors
    /// Those of [`Directory::write`].
    pub fn freeze(&self, on: bool) -> Result<()> {
        let (name, text) = self.switch(on);
        self.write(name, text)
    }

    /// The file that freezes it, open for writing, and what to write.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn freezer(&self) -> Result<(OwnedFd, &'static [u8])> {
        let (name, text) = self.switch(true);
        Ok((self.file(name, OFlag::O_WRONLY)?, text))
    }

    /// The file that freezes or thaws it, and what to write.
    fn switch(&self, on: bool) -> (&'static [u8], &'static [u8]) {
        match (self.version_2, on) {
            (true, true) => (b"cgroup.freeze", b"1"),
            (true, false) => (b"cgroup.freeze", b"0"),
            (false, true) => (b"freezer.state", b"FROZEN"),
            (false, false) => (b"freezer.state", b"THAWED"),
        }
    }

    /// The processes in it, and in all cgroups below it.
    ///
    /// # Errors
    /// Those of reading the directories; one that has just gone has none.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let mut all = Vec::new();
        let mut left = vec![self.path.clone()];
        while let Some(path) = left.pop() {
            let Some(dir) = Self::open(std::slice::from_ref(&path))? else { continue };
            // In a threaded cgroup only its threads can be read.
            let text = match dir.read(b"cgroup.procs") {
                Err(e) if e.errno() == Some(libc::EOPNOTSUPP) => dir.read(b"cgroup.threads"),
                text => text,
            };
            let text = String::from_utf8_lossy(&text?.unwrap_or_default()).into_owned();
            all.extend(text.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            left.extend(dir.below()?.into_iter().map(|(_, directory)| directory.path));
        }
        Ok(all)
    }

    fn file(&self, name: &[u8], access: OFlag) -> Result<OwnedFd> {
        let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(&self.dir, name, flags, Mode::empty()).map_err(|e| self.unable("open", name, e))
    }

    fn doing(&self, what: &str, name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        format!(
            "{what} {}",
            if name.is_empty() { self.path.clone() } else { self.path.join(&*name) }.display()
        )
    }

    fn unable(&self, what: &str, name: &[u8], e: Errno) -> Error {
        Error::new(self.doing(what, name), e)
    }
}
