//! A file that appears whole or not at all.
//!
//! It has no name until it is whole (O_TMPFILE of open(2)), so that nothing is left behind however the process ends. A
//! file system without such files gets one of an unguessable name, which is removed when the work fails or a signal
//! asks the process to end.

use crate::{Error, Result, place::Place};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat},
    sys::{
        signal::{SigSet, Signal, raise},
        stat::Mode,
    },
    unistd::{UnlinkatFlags, linkat, syncfs, unlinkat},
};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

/// Readable by its owner only: memory holds secrets.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Names to remove when a signal ends the process, with their directories.
static NAMES: Mutex<Vec<(OwnedFd, OsString)>> = Mutex::new(Vec::new());

fn names() -> MutexGuard<'static, Vec<(OwnedFd, OsString)>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file in the directory of the place that it is for.
pub(crate) struct Temp {
    file: File,
    /// Its name for the time being, if it has one.
    name: Option<OsString>,
}

impl Temp {
    /// Makes an empty file, readable by its owner only.
    ///
    /// # Errors
    /// Those of open(2) and of starting a thread.
    pub fn new(place: &Place) -> Result<Self> {
        watch_signals().map_err(|e| Error::file("write", &place.shown, e))?;
        match Self::unnamed(place) {
            Ok(Some(temp)) => Ok(temp),
            Ok(None) => Self::named(place),
            Err(e) => Err(e),
        }
        .map_err(|e| Error::file("write", &place.shown, e.into()))
    }

    /// `None` where the file system or a missing /proc does not allow it.
    fn unnamed(place: &Place) -> nix::Result<Option<Self>> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(&place.dir, ".", flags, MODE) {
            Ok(fd) if Path::new(&own_path(fd.as_fd())).exists() => {
                Ok(Some(Self { file: fd.into(), name: None }))
            }
            // EISDIR is what a kernel says that knows no O_TMPFILE, and ENOENT some file systems.
            Ok(_) | Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn named(place: &Place) -> nix::Result<Self> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let name = random_name()?;
        // Held until it is in the list: a signal in between would not find it.
        let mut names = names();
        let dir = clone(&place.dir)?;
        let fd = openat(&dir, name.as_os_str(), flags | OFlag::O_RDWR | OFlag::O_CLOEXEC, MODE)?;
        names.push((dir, name.clone()));
        Ok(Self { file: fd.into(), name: Some(name) })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name for good, in the place of an older file. Without `sync` it may be lost when the machine
    /// stops soon.
    ///
    /// # Errors
    /// Those of fsync(2), link(2) and rename(2); the older file is still there then.
    pub fn commit(mut self, place: &Place, sync: bool) -> Result<()> {
        let fail = |e: io::Error| Error::file("write", &place.shown, e);
        if sync {
            self.file.sync_all().map_err(fail)?;
        }
        self.publish(place).map_err(|e| fail(e.into()))?;
        if sync {
            sync_directory(place, &self.file).map_err(|e| fail(e.into()))?;
        }
        Ok(())
    }

    fn publish(&mut self, place: &Place) -> nix::Result<()> {
        // A signal is acted on before this or when it is done.
        let mut names = names();
        let target = place.name.as_os_str();
        let name = match &self.name {
            Some(name) => name.clone(),
            None => match link(&self.file, &place.dir, target) {
                // link(2) replaces no file, rename(2) does.
                Err(Errno::EEXIST) => {
                    let name = random_name()?;
                    link(&self.file, &place.dir, &name)?;
                    name
                }
                done => return done,
            },
        };
        let renamed = renameat(&place.dir, name.as_os_str(), &place.dir, target);
        if renamed.is_err() {
            let _ = remove(place.dir.as_fd(), &name);
        }
        names.retain(|(_, listed)| *listed != name);
        self.name = None;
        renamed
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let mut names = names();
        for (dir, _) in names.iter().filter(|(_, listed)| *listed == name) {
            // Its failure has been reported; a file that cannot be removed adds nothing.
            let _ = remove(dir.as_fd(), &name);
        }
        names.retain(|(_, listed)| *listed != name);
    }
}

fn own_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn link(file: &File, dir: &OwnedFd, name: &OsStr) -> nix::Result<()> {
    let from = own_path(file.as_fd());
    linkat(AT_FDCWD, from.as_str(), dir, name, AtFlags::AT_SYMLINK_FOLLOW)
}

fn remove(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
    unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
}

fn clone(fd: &OwnedFd) -> nix::Result<OwnedFd> {
    fd.try_clone().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EMFILE)))
}

/// `.floe-` and 32 hexadecimal digits: in a directory that others can write to it cannot be taken beforehand.
fn random_name() -> nix::Result<OsString> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Errno::ENOSYS)?;
    Ok(format!(".floe-{:032x}", u128::from_ne_bytes(random)).into())
}

/// The new name is on the disk only when the directory is. One that may not be read cannot be synced by itself.
fn sync_directory(place: &Place, file: &File) -> nix::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match openat(&place.dir, ".", flags, Mode::empty()) {
        Ok(dir) => nix::unistd::fsync(dir),
        Err(Errno::EACCES) => syncfs(file),
        Err(e) => Err(e),
    }
}

/// Starts, once, a thread that waits for the signals that ask a process to end, removes the files, and lets the signal
/// do its work. Signals that are ignored (nohup(1)) stay ignored. To be called before other threads are started, which
/// inherit that the signals are blocked.
fn watch_signals() -> io::Result<()> {
    static ONCE: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let started = ONCE.get_or_init(|| start_watching().map_err(|e| e.kind()));
    started.map_err(Into::into)
}

fn start_watching() -> io::Result<()> {
    let ignored = ignored_signals()?;
    let wanted = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let signals: SigSet =
        wanted.into_iter().filter(|signal| ignored >> (*signal as u32 - 1) & 1 == 0).collect();
    if signals.iter().next().is_none() {
        return Ok(());
    }
    signals.thread_block()?;
    let end = move || {
        let Ok(signal) = signals.wait() else { return };
        // Held to the end: no file is made meanwhile.
        let names = names();
        for (dir, name) in names.iter() {
            let _ = remove(dir.as_fd(), name);
        }
        let _ = signals.thread_unblock();
        let _ = raise(signal);
        std::process::exit(128 + signal as i32);
    };
    thread::Builder::new().name("signals".into()).spawn(end)?;
    Ok(())
}

/// `SigIgn` of proc_pid_status(5); none where there is no /proc.
fn ignored_signals() -> io::Result<u64> {
    let status = match fs::read_to_string("/proc/self/status") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        status => status?,
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.ok_or_else(|| io::Error::other("/proc/self/status has no SigIgn"))?;
    u64::from_str_radix(mask.trim(), 16).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    type Make = fn(&Place) -> nix::Result<Temp>;
    const MAKES: [Make; 2] =
        [|place| Temp::unnamed(place).map(|temp| temp.expect("O_TMPFILE")), Temp::named];

    fn list(dir: &Path) -> Vec<String> {
        let mut list: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        list.sort();
        list
    }

    fn write(path: &Path, make: Make) -> Result<()> {
        let place = Place::resolve(path)?;
        let temp = make(&place).unwrap();
        temp.file().write_all(b"new").unwrap();
        temp.commit(&place, true)
    }

    #[test]
    fn it_appears_whole_and_replaces() {
        for make in MAKES {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            for _ in 0..2 {
                write(&path, make).unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"new");
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
                assert_eq!(list(dir.path()), ["a"]);
            }
        }
    }

    #[test]
    fn dropped_it_leaves_nothing() {
        for make in MAKES {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            fs::write(&path, "old").unwrap();
            let place = Place::resolve(&path).unwrap();
            let mut temp = make(&place).unwrap();
            temp.file.write_all(b"new").unwrap();
            drop(temp);
            assert_eq!(list(dir.path()), ["a"]);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert!(names().iter().all(|(_, name)| !dir.path().join(name).exists()));
        }
    }

    #[test]
    fn without_a_target_to_replace_the_old_one_stays() {
        for make in MAKES {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            let place = Place::resolve(&path).unwrap();
            let temp = make(&place).unwrap();
            fs::create_dir(&path).unwrap();
            assert!(temp.commit(&place, false).is_err());
            assert_eq!(list(dir.path()), ["a"]);
        }
    }

    #[test]
    fn links_are_followed_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        symlink("sub/b", dir.path().join("a")).unwrap();
        symlink(dir.path().join("a"), dir.path().join("sub/c")).unwrap();
        write(&dir.path().join("sub/c"), MAKES[0]).unwrap();
        assert_eq!(list(&dir.path().join("sub")), ["b", "c"]);
        symlink("loop", dir.path().join("loop")).unwrap();
        for bad in ["loop", "sub", "none/a", ".."] {
            assert!(Place::resolve(&dir.path().join(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_of_another_user_in_a_shared_directory_is_refused() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: links of another user can only be made by root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        symlink("b", &path).unwrap();
        std::os::unix::fs::lchown(&path, Some(12345), None).unwrap();
        assert!(Place::resolve(&path).is_ok());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let error = Place::resolve(&path).err().unwrap().to_string();
        assert!(error.contains("of another user"), "{error}");
        std::os::unix::fs::lchown(&path, Some(0), None).unwrap();
        assert!(Place::resolve(&path).is_ok());
    }

    #[test]
    fn names_are_new_each_time() {
        assert_ne!(random_name().unwrap(), random_name().unwrap());
        assert_eq!(random_name().unwrap().len(), 38);
    }
}
