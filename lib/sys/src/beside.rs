//! Files that are made beside the names which they are to have, and get those when all of them are whole.

use crate::{
    Error, Result,
    watcher::{Watcher, close_others},
};
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat, renameat2},
    sys::stat::{Mode, fstatat},
    unistd::linkat,
};
use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
};

/// The place of a file: a directory, the name that it is to have there, and the one that it has until then.
#[derive(Debug)]
pub struct Place {
    dir: OwnedFd,
    name: CString,
    beside: CString,
    /// The name that a file has until all is done which it is to take the place of.
    old: Option<CString>,
    /// It is one of a directory.
    of_dir: bool,
}

impl Place {
    /// A place in a directory. `beside` is a name that nobody else takes, and `replaces` says that another file may have `name`.
    ///
    /// # Errors
    /// A name with a zero byte in it.
    pub fn new(dir: OwnedFd, name: &OsStr, beside: &str, replaces: bool) -> Result<Self> {
        let fail = |_| Error::because("make a file", "its name has a zero byte in it");
        let text = |bytes: &[u8]| CString::new(bytes).map_err(fail);
        let old = replaces.then(|| text(format!("{beside}-old").as_bytes())).transpose()?;
        let (name, beside) = (text(name.as_bytes())?, text(beside.as_bytes())?);
        Ok(Self { dir, name, beside, old, of_dir: false })
    }

    /// The place of something that has no contents; whether it is a directory.
    ///
    /// # Errors
    /// A name with a zero byte in it.
    pub fn of_node(dir: OwnedFd, name: &OsStr, beside: &str, of_dir: bool) -> Result<Self> {
        Ok(Self { of_dir, ..Self::new(dir, name, beside, false)? })
    }

    /// The directory.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// The name that it has first.
    pub fn beside(&self) -> &OsStr {
        OsStr::from_bytes(self.beside.as_bytes())
    }

    /// Makes the file, empty, which nobody else may read.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn create(&self) -> Result<OwnedFd> {
        let how = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let made = openat(&self.dir, &*self.beside, how, Mode::S_IRUSR | Mode::S_IWUSR);
        made.map_err(|e| self.fail("make", e))
    }

    /// Puts a file there that is in another place as well.
    ///
    /// # Errors
    /// Those of link(2).
    pub fn link(&self, file: BorrowedFd<'_>) -> Result<()> {
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, from.as_str(), &self.dir, &*self.beside, flags)
            .map_err(|e| self.fail("make a link", e))
    }

    fn put(&self) -> Result<()> {
        let put = match &self.old {
            Some(old) => linkat(&self.dir, &*self.name, &self.dir, &**old, AtFlags::empty())
                .and_then(|()| renameat(&self.dir, &*self.beside, &self.dir, &*self.name)),
            None => self.put_alone(),
        };
        put.map_err(|e| self.fail("give a file its name", e))
    }

    /// Nobody may have the name.
    fn put_alone(&self) -> nix::Result<()> {
        let (dir, beside, name) = (&self.dir, &*self.beside, &*self.name);
        match renameat2(dir, beside, dir, name, RenameFlags::RENAME_NOREPLACE) {
            // The file system does not know the flag.
            Err(Errno::EINVAL) => match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => renameat(dir, beside, dir, name),
                other => Err(other.err().unwrap_or(Errno::EEXIST)),
            },
            done => done,
        }
    }

    fn fail(&self, doing: &str, e: Errno) -> Error {
        let name = self.name.to_string_lossy();
        Error::new(format!("{doing} in the place of {name}"), e)
    }

    /// Has everything as it was. Calls nothing but the kernel.
    fn undo(&self, putting: bool) {
        let dir = self.dir.as_raw_fd();
        let remove = |name: &CString| remove(dir, name, self.of_dir);
        let unmoved = remove(&self.beside);
        match &self.old {
            Some(old) => {
                // SAFETY: the kernel reads two strings of ours.
                unsafe { libc::renameat(dir, old.as_ptr(), dir, self.name.as_ptr()) };
                // Two names of one file are left as they are by that.
                remove(old);
            }
            None if putting && !unmoved => drop(remove(&self.name)),
            None => {}
        }
    }
}

/// Removes a file, or an empty directory, which others may still be emptying.
fn remove(dir: RawFd, name: &CString, of_dir: bool) -> bool {
    let flags = if of_dir { libc::AT_REMOVEDIR } else { 0 };
    let nap = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    for _ in 0..2000 {
        // SAFETY: the kernel reads a string and a time of ours; `errno` is our thread's.
        unsafe {
            if libc::unlinkat(dir, name.as_ptr(), flags) == 0 {
                return true;
            }
            if !of_dir || *libc::__errno_location() != libc::ENOTEMPTY {
                return false;
            }
            libc::nanosleep(&raw const nap, std::ptr::null_mut());
        }
    }
    false
}

/// Places of files that are about to be made. A child, which a signal to us does not reach, has everything as it was again when
/// this is dropped, or when we die, before [`Places::keep`].
#[derive(Debug)]
pub struct Places {
    // Dropped before the places are.
    watcher: Watcher,
    all: Vec<Place>,
}

impl Places {
    /// Watches over places; nothing has been made in them yet.
    ///
    /// # Errors
    /// Those of fork(2).
    pub fn watch(all: Vec<Place>) -> Result<Self> {
        let mut kept: Vec<RawFd> = Vec::with_capacity(all.len() + 1);
        kept.extend(all.iter().map(|place| place.dir.as_raw_fd()));
        let begin = |hear| {
            kept.push(hear);
            close_others(&mut kept);
        };
        let last = |putting| all.iter().rev().for_each(|place| place.undo(putting));
        let watcher = Watcher::start_in_two(begin, last);
        let watcher = watcher.map_err(|e| Error::new("watch over files that are made", e))?;
        Ok(Self { watcher, all })
    }

    /// One of them.
    pub fn get(&self, at: usize) -> Option<&Place> {
        self.all.get(at)
    }

    /// Gives all files their names.
    ///
    /// # Errors
    /// Those of rename(2) and link(2).
    pub fn put(&self) -> Result<()> {
        let doing = "give files their names";
        self.watcher.turn().map_err(|e| Error::new(doing, e))?;
        self.all.iter().try_for_each(Place::put)
    }

    /// Keeps them. What they have taken the place of goes.
    ///
    /// # Errors
    /// Those of telling the child, which leave everything to it.
    pub fn keep(self) -> Result<()> {
        let Self { watcher, all } = self;
        watcher.dismiss().map_err(|e| Error::new("keep files that were made", e))?;
        for (dir, old) in all.iter().filter_map(|place| Some((&place.dir, place.old.as_ref()?))) {
            // It has another name left over; that must not make a restore fail that has succeeded.
            let _ =
                nix::unistd::unlinkat(dir.as_fd(), &**old, nix::unistd::UnlinkatFlags::NoRemoveDir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write, path::Path};

    fn places(dir: &Path) -> Places {
        fs::write(dir.join("there"), "old").unwrap();
        let place = |name: &str, n: u32, replaces| {
            let open = fs::File::open(dir).unwrap().into();
            Place::new(open, name.as_ref(), &format!(".beside-{n}"), replaces).unwrap()
        };
        let all = vec![place("there", 0, true), place("missing", 1, false)];
        let places = Places::watch(all).unwrap();
        for n in 0..2 {
            let file = places.get(n).unwrap().create().unwrap();
            fs::File::from(file).write_all(b"new").unwrap();
        }
        places
    }

    fn names(dir: &Path) -> Vec<String> {
        let all = fs::read_dir(dir).unwrap();
        let mut all: Vec<_> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn files_are_kept_or_all_is_as_it_was() {
        let dir = std::env::temp_dir().join(format!("floe-beside-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        for putting in [false, true] {
            let places = places(&dir);
            if putting {
                places.put().unwrap();
                assert_eq!((read("there"), read("missing")), ("new".into(), "new".into()));
            }
            drop(places);
            assert_eq!((names(&dir), read("there")), (vec!["there".into()], "old".into()));
        }
        let places = places(&dir);
        places.put().unwrap();
        places.keep().unwrap();
        assert_eq!(names(&dir), ["missing", "there"]);
        assert_eq!(read("there"), "new");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_left() {
        let dir = std::env::temp_dir().join(format!("floe-taken-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let places = places(&dir);
        fs::write(dir.join("missing"), "foreign").unwrap();
        places.put().unwrap_err();
        drop(places);
        assert_eq!(names(&dir), ["missing", "there"]);
        assert_eq!(fs::read_to_string(dir.join("missing")).unwrap(), "foreign");
        fs::remove_dir_all(&dir).unwrap();
    }
}
