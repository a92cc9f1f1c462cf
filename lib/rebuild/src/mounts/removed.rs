//! Mounts of files that have no name any more: each is made with one, in the file system that it was in where that is mounted anew, else
//! in one of its own, and loses the name when it is mounted, since nothing without a name can be.

use crate::attributes::set_owner;
use floe_mounts::below;
use floe_records::RemovedMount;
use floe_sys::{Error, Result, attach_tree, clone_tree, fsconfig_create, fsmount, fsopen};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, SFlag, mkdirat, mknodat},
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Write,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    sync::{Mutex, PoisonError},
};

/// What the kernel shows behind the name.
const REMOVED: &[u8] = b"//deleted";

/// Names that are to be removed, the last one first.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Vec<(OwnedFd, OsString, UnlinkatFlags)>>);

impl Names {
    fn add(&self, place: &OwnedFd, name: &OsStr, how: UnlinkatFlags) -> Result<()> {
        let place = place.try_clone().map_err(|e| Error::new("keep a directory", e))?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((place, name.to_owned(), how));
        Ok(())
    }

    /// All that is to be mounted is.
    pub fn remove(&self) -> Result<()> {
        for (place, name, how) in
            self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).rev()
        {
            unlinkat(&place, name.as_os_str(), how)
                .map_err(|e| Error::new("remove what was removed", e))?;
        }
        Ok(())
    }
}

/// A detached mount of one that has had this path in its file system, in a file system of its own.
pub(super) fn detached(was: &RemovedMount, path: &[u8], names: &Names) -> Result<OwnedFd> {
    floe_sys::apart("make what was removed", || {
        floe_sys::private_mounts()?;
        let fs = fsopen(b"tmpfs")?;
        fsconfig_create(fs.as_fd())?;
        let top = fsmount(fs.as_fd(), 0)?;
        // A mount must be in a namespace to be copied.
        let root = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|e| Error::new("open /", e))?;
        attach_tree(top.as_fd(), root.as_fd())?;
        let path = put(was, path, &top, names)?;
        clone_tree(below(top.as_fd(), &path)?.as_fd())
    })
}

/// Makes it below the top of a file system, by the name that it has had where that is free. Gives its path.
pub(super) fn put(
    was: &RemovedMount,
    path: &[u8],
    top: &OwnedFd,
    names: &Names,
) -> Result<Vec<u8>> {
    let fail = |e: Errno| Error::new("make what was removed", e);
    let path = path.strip_suffix(REMOVED).unwrap_or(path);
    let path = path.split(|byte| *byte == b'/').filter(|name| sane_name(name));
    let mut above: Vec<&[u8]> = path.collect();
    let name = above.pop().unwrap_or(b"removed");
    let place = match directory(&above, top, names) {
        // What has taken the place of its directory is none.
        Err(e) if e.errno() == Some(libc::ENOTDIR) => {
            above.clear();
            directory(&above, top, names)?
        }
        place => place?,
    };
    let kind = if was.is_fifo() { SFlag::S_IFIFO } else { SFlag::S_IFREG };
    let mut name = name.to_vec();
    loop {
        let made =
            mknodat(&place, OsStr::from_bytes(&name), kind, Mode::S_IRUSR | Mode::S_IWUSR, 0);
        match made {
            // Another file has that name now.
            Err(Errno::EEXIST) => name.push(b'~'),
            made => break made.map_err(fail)?,
        }
    }
    let own = OsStr::from_bytes(&name);
    names.add(&place, own, UnlinkatFlags::NoRemoveDir)?;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = openat(&place, own, flags, Mode::empty()).map_err(fail)?;
    set_owner(&file, was.owner, was.mode & 0o7777).map_err(fail)?;
    File::from(file)
        .write_all(&was.content.0)
        .map_err(|e| Error::new("fill what was removed", e))?;
    above.push(&name);
    Ok(above.join(&b'/'))
}

/// The directory of this path, of which what is missing is made.
fn directory(path: &[&[u8]], top: &OwnedFd, names: &Names) -> Result<OwnedFd> {
    let fail = |e: Errno| Error::new("make what was removed", e);
    let mut place = top.try_clone().map_err(|e| Error::new("keep a directory", e))?;
    for name in path.iter().map(|name| OsStr::from_bytes(name)) {
        match mkdirat(&place, name, Mode::S_IRWXU) {
            Ok(()) => names.add(&place, name, UnlinkatFlags::RemoveDir)?,
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(fail(e)),
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        place = openat(&place, name, flags, Mode::empty()).map_err(fail)?;
    }
    Ok(place)
}

/// Whether a directory or a file can have this name.
fn sane_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
}
